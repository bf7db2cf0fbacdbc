"""The account of what a pull loop has asked for and not yet got."""

from collections import deque

SMALLEST_SHARE = 2  # half of the free slots may be unasked for before it is worth a request


class PullRequests:
    """Counts the messages that open pull requests may still bring.

    The broker serves open requests in turns, so a message cannot be told to belong to one of them: only the
    sum is known. What was asked longer ago than a request lives is void, whatever was heard of it.
    """

    def __init__(self, lifetime_seconds: float) -> None:
        self._lifetime = lifetime_seconds
        self._asked: deque[tuple[float, int]] = deque()  # (when, how many)
        self.outstanding = 0

    def shortfall(self, free_slots: int) -> int:
        """Answer how many to ask for now; 0 while too few are missing to be worth a request."""
        missing = free_slots - self.outstanding
        return missing if missing > 0 and missing * SMALLEST_SHARE >= free_slots else 0

    def asked(self, batch: int, now: float) -> None:
        """Note a request for up to `batch` messages."""
        self._asked.append((now, batch))
        self.outstanding += batch

    def received(self) -> None:
        """Note a message."""
        self.outstanding = max(0, self.outstanding - 1)

    def returned(self, count: int) -> None:
        """Note that a request ended with `count` messages undelivered."""
        self.outstanding = max(0, self.outstanding - count)

    def forget_expired(self, now: float) -> None:
        """Void what the requests cannot bring any more, having lived too long."""
        while self._asked and self._asked[0][0] + self._lifetime <= now:
            self._asked.popleft()
        self.outstanding = min(self.outstanding, sum(batch for _, batch in self._asked))
