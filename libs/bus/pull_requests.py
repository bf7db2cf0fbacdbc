"""Counts what a pull loop has requested and not yet received."""

from collections import deque

SMALLEST_SHARE = 2  # request once half of the free slots are not requested


class PullRequests:
    """Counts the messages that open pull requests can still bring.

    The broker serves open requests in turn and does not say which one a message belongs to, so only the sum is known.
    A request older than its lifetime no longer counts.
    """

    def __init__(self, lifetime_seconds: float) -> None:
        self._lifetime = lifetime_seconds
        self._open: deque[tuple[float, int]] = deque()  # (when, how many)
        self.outstanding = 0

    def shortfall(self, free_slots: int) -> int:
        """Return how many messages to request now; 0 while too few are missing."""
        missing = free_slots - self.outstanding
        return missing if missing > 0 and missing * SMALLEST_SHARE >= free_slots else 0

    def requested(self, batch: int, now: float) -> None:
        """Count a request for up to `batch` messages."""
        self._open.append((now, batch))
        self.outstanding += batch

    def received(self) -> None:
        """Count a message."""
        self.outstanding = max(0, self.outstanding - 1)

    def returned(self, count: int) -> None:
        """Count a request that ended with `count` messages undelivered."""
        self.outstanding = max(0, self.outstanding - count)

    def forget_expired(self, now: float) -> None:
        """Stop counting requests that are older than their lifetime."""
        while self._open and self._open[0][0] + self._lifetime <= now:
            self._open.popleft()
        self.outstanding = min(self.outstanding, sum(batch for _, batch in self._open))
