"""When a call is sent again, and for how long: decisions only, the same for both clients."""

import random
import time

import grpc

from callboard.failure import CallboardError

_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 5.0
_KEY_IN_USE = "IDEMPOTENCY_KEY_IN_USE"


class Backoff:
    """Waits that double, each with full jitter, so that many clients do not come back at once."""

    def __init__(self) -> None:
        self._longest = _FIRST_WAIT_SECONDS

    def next(self) -> float:
        """Return how many seconds to wait this time."""
        wait = random.uniform(0, self._longest)  # noqa: S311 - it guards nothing
        self._longest = min(_LONGEST_WAIT_SECONDS, self._longest * 2)
        return wait

    def reset(self) -> None:
        """Begin with short waits again."""
        self._longest = _FIRST_WAIT_SECONDS


class Attempts:
    """The attempts at one call, all of them under one deadline."""

    def __init__(self, timeout: float, *, repeatable: bool) -> None:
        self._deadline = time.monotonic() + timeout
        self._repeatable = repeatable
        self._backoff = Backoff()

    def remaining(self) -> float:
        """Return for how many seconds the next attempt may take."""
        return max(0.0, self._deadline - time.monotonic())

    def wait_after(self, error: CallboardError) -> float | None:
        """Return how long to wait before the call is sent again; None when it is not to be.

        What is sent again had no answer, or met its own first attempt, which still runs: a repeatable call is a read,
        or carries an idempotency key, under which the service carries it out once.
        """
        passes = error.code is grpc.StatusCode.UNAVAILABLE or error.reason == _KEY_IN_USE
        if not (self._repeatable and passes):
            return None
        wait = self._backoff.next()
        return wait if wait < self.remaining() else None


class Patience:
    """For how long a stream is reopened without hearing anything."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began: float | None = time.monotonic()
        self._backoff = Backoff()

    def heard(self) -> None:
        """Begin anew when the stream breaks next."""
        self._began = None
        self._backoff.reset()

    def wait_after(self, error: CallboardError | None) -> float | None:
        """Return how long to wait before the stream is opened again; None when it is not to be.

        A stream that ended early has no error. Patience begins when the stream breaks, not with its last event.
        """
        if error is not None and (error.code is not grpc.StatusCode.UNAVAILABLE or self._is_over()):
            return None
        return self._backoff.next()

    def _is_over(self) -> bool:
        if self._began is None:
            self._began = time.monotonic()
        return time.monotonic() - self._began > self._seconds
