"""How long a runner's lease still holds, as a value."""

from dataclasses import dataclass


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
