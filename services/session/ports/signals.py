"""What the session service says to others after a commit. Signals may be lost: the truth is in the database."""

from typing import Protocol
from uuid import UUID


class Signals(Protocol):
    """Fire and forget; never raises, never waits."""

    def appended(self, tenant_id: str, part: int, first: int, last: int, lines: str | None) -> None:
        """Say which positions a partition has gained, with the events themselves when they are small."""

    def connections_wanted(self) -> None:
        """Say that a session wants a connection."""

    def runner_asked(self, runner_id: UUID) -> None:
        """Say to a runner that something is asked of it: a cancel, a connection to close."""

    def commands_waiting(self) -> None:
        """Say that commands may be ready for dispatch."""
