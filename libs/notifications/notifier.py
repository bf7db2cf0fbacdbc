"""What services announce after a commit. A notification may be lost: the database has the truth."""

from typing import Protocol
from uuid import UUID


class Notifier(Protocol):
    """Announces what was committed. Its methods do not raise or wait."""

    def appended(self, tenant_id: str, partition: int, first: int, last: int, lines: str | None) -> None:
        """Announce new positions of a partition, with the events if they are small."""

    def runner_has_work(self, runner_id: UUID) -> None:
        """Announce to a runner that it has something to do."""

    def connections_wanted(self) -> None:
        """Announce that a session needs a connection."""

    def commands_waiting(self) -> None:
        """Announce that commands may be ready for dispatch."""

    def sessions_closing(self) -> None:
        """Announce that a session has to be closed."""
