"""Decides when a call is retried and for how long. Both clients share it; it does no I/O."""

import random
import time

import grpc

from callboard.failure import CallboardError

_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 5.0
_KEY_IN_USE = "IDEMPOTENCY_KEY_IN_USE"


class Backoff:
    """Waits that double, with full jitter, so that many clients do not reconnect at once."""

    def __init__(self) -> None:
        self._longest = _FIRST_WAIT_SECONDS

    def next(self) -> float:
        """Return the next wait in seconds."""
        wait = random.uniform(0, self._longest)  # noqa: S311 - it guards nothing
        self._longest = min(_LONGEST_WAIT_SECONDS, self._longest * 2)
        return wait

    def reset(self) -> None:
        """Start with short waits again."""
        self._longest = _FIRST_WAIT_SECONDS


class Attempts:
    """The attempts at one call, which share one deadline."""

    def __init__(self, timeout: float, *, repeatable: bool) -> None:
        self._deadline = time.monotonic() + timeout
        self._repeatable = repeatable
        self._backoff = Backoff()

    def remaining(self) -> float:
        """Return the time limit of the next attempt in seconds."""
        return max(0.0, self._deadline - time.monotonic())

    def wait_after(self, error: CallboardError) -> float | None:
        """Return the wait before the call is retried, or None to give up.

        A call is retried if it had no response, or if its first attempt still runs. Only repeatable calls are retried:
        reads, and calls with an idempotency key, which the service carries out once.
        """
        passes = error.code is grpc.StatusCode.UNAVAILABLE or error.reason == _KEY_IN_USE
        if not (self._repeatable and passes):
            return None
        wait = self._backoff.next()
        return wait if wait < self.remaining() else None


class Patience:
    """How long a stream is reopened while no server answers."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began: float | None = time.monotonic()
        self._backoff = Backoff()

    def heard(self) -> None:
        """Start the time again at the next break of the stream."""
        self._began = None
        self._backoff.reset()

    def wait_after(self, error: CallboardError | None) -> float | None:
        """Return the wait before the stream is reopened, or None to give up.

        A stream that ended early has no error. The time counts from the break of the stream, not from its last event.
        """
        if error is not None and (error.code is not grpc.StatusCode.UNAVAILABLE or self._is_over()):
            return None
        return self._backoff.next()

    def _is_over(self) -> bool:
        if self._began is None:
            self._began = time.monotonic()
        return time.monotonic() - self._began > self._seconds
