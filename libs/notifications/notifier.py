"""What the command service and its runners say after a commit. Notifier may be lost: the truth is in the database."""

from typing import Protocol
from uuid import UUID


class Notifier(Protocol):
    """Fire and forget; never raises, never waits."""

    def appended(self, tenant_id: str, part: int, first: int, last: int, lines: str | None) -> None:
        """Say which positions a partition has gained, with the events themselves when they are small."""

    def runner_asked(self, runner_id: UUID) -> None:
        """Say to a runner that something is asked of it."""

    def connections_wanted(self) -> None:
        """Say that a session wants a connection."""

    def commands_waiting(self) -> None:
        """Say that commands may be ready for dispatch."""

    def sessions_closing(self) -> None:
        """Say that a session is to be closed."""
