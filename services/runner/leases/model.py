"""What a runner has to do, and how long its lease still holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from libs.attempts import CommandLease


@dataclass(frozen=True, slots=True)
class HeldConnection:
    """The connection of a session, which the runner holds according to the database."""

    tenant_id: str
    session_uid: UUID


@dataclass(frozen=True, slots=True)
class Instructions:
    """What a runner has to do, and what it holds according to the database.

    `cancel` lists commands whose cancel was requested, `abandon` commands that the runner no longer owns. `close` and
    `kill` list connections to end, `owned` those that belong to the runner. `running` lists the commands that it has
    held for a while.
    """

    cancel: Sequence[UUID]
    abandon: Sequence[UUID]
    close: Sequence[HeldConnection]
    kill: Sequence[HeldConnection]
    owned: Sequence[HeldConnection]
    running: Sequence[CommandLease]


@dataclass(slots=True)
class LeaseTerm:
    """The term of one lease, in seconds of a clock that only this process reads.

    The database's clock decides which runners are dead. This one measures only durations (failures, row 21).
    """

    length: float
    heartbeat: float
    renewed_at: float = 0.0
    in_doubt: bool = False
    """Whether the last heartbeat failed."""
    was_renewed: bool = False

    def begin(self, at: float) -> None:
        """Begin the term. `at` is the time before the lease was taken, so that it ends here no later than there."""
        self.renewed_at = at

    def renew(self, at: float) -> None:
        """Begin the term again after a heartbeat that was sent at `at`."""
        self.renewed_at, self.in_doubt, self.was_renewed = at, False, True

    def doubt(self) -> None:
        """Note that a heartbeat failed. The lease still holds, until its term is over."""
        self.in_doubt = True

    def left(self, now: float) -> float:
        """Return how long the lease still holds; 0 or less once it has expired."""
        return self.renewed_at + self.length - now

    @property
    def pause(self) -> float:
        """The pause before the next heartbeat. It is shorter while the lease is in doubt."""
        return self.heartbeat / 4 if self.in_doubt else self.heartbeat
