"""The source of a runner's commands."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


class Acknowledgement(Protocol):
    """Tells the source that the claim of one delivered command is decided."""

    def settle(self) -> None:
        """Report that the command was claimed or that its claim was rejected. Called once for each delivery."""


@dataclass(slots=True)
class DeliveredCommand:
    """A command that was dispatched to this runner and can be claimed."""

    tenant_id: str
    partition: int
    command_id: UUID
    acknowledgement: Acknowledgement


class CommandSink(Protocol):
    """Receives commands and wake-ups from a source. No method waits."""

    def room(self, priority: int) -> int:
        """Return how many deliveries of a priority the runner accepts now. Each may contain many commands."""

    def deliver(self, priority: int, command: DeliveredCommand) -> None:
        """Pass a command to the runner."""

    def instructed(self) -> None:
        """Report that the database may hold new instructions for the runner."""

    def connections_wanted(self) -> None:
        """Report that a session may need a connection."""


class CommandSource(Protocol):
    """Delivers what is dispatched to one runner, at least once and in no particular order.

    Deliveries and wake-ups may be lost, repeated or late. The database is authoritative, and the runner checks it at
    every heartbeat.
    """

    async def open(self, sink: CommandSink) -> None:
        """Subscribe to wake-ups. Deliveries start with `run`."""

    async def run(self) -> None:
        """Deliver commands while the runner has room, until cancelled or stopped. Waits for an unavailable broker."""

    def wake(self) -> None:
        """Continue to deliver: the runner has room again."""

    def stop(self) -> None:
        """Stop delivering. Commands that were already delivered may still be settled."""

    async def close(self) -> None:
        """Unsubscribe and remove whatever the source keeps for this runner. Never raises."""
