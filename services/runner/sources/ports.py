"""Where a runner gets its commands from."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


class Acknowledgement(Protocol):
    """Tells the source that one delivered command is decided."""

    def settle(self) -> None:
        """Say that the command was claimed, or that its claim was rejected; called once for each delivery."""


@dataclass(slots=True)
class DeliveredCommand:
    """A command that was dispatched to this runner, and may be claimed."""

    tenant_id: str
    partition: int
    command_id: UUID
    acknowledgement: Acknowledgement


class CommandSink(Protocol):
    """What a source tells a runner. All of it returns at once."""

    def room(self, priority: int) -> int:
        """Return how many deliveries of a priority the runner takes now; each may bring many commands."""

    def deliver(self, priority: int, command: DeliveredCommand) -> None:
        """Hand a command over."""

    def instructed(self) -> None:
        """Say that the database may hold new instructions for the runner."""

    def connections_wanted(self) -> None:
        """Say that a session may want a connection."""


class CommandSource(Protocol):
    """Delivers what is dispatched to one runner, at least once and in no promised order.

    Deliveries and wake-ups may be lost, repeated and late: the truth is in the database, and the runner looks there
    at every heartbeat.
    """

    async def open(self, sink: CommandSink) -> None:
        """Begin to hear wake-ups. Deliveries begin with `run`."""

    async def run(self) -> None:
        """Deliver commands as long as there is room, until cancelled or stopped. An absent broker is waited for."""

    def wake(self) -> None:
        """Say that there is room again."""

    def stop(self) -> None:
        """Deliver nothing more; what was delivered may still be settled."""

    async def close(self) -> None:
        """End the subscriptions and remove what the source keeps for this runner. Raises nothing."""
