"""Ends calls from outside: when their key is revoked or the server drains."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from libs.errors import ServiceError

_FIRST_CUT_SECONDS = 0.1
_LAST_CUT_SHARE = 0.8  # of the grace


class Guard:
    """A block of the current task that `cut` ends with an error, even while the task waits.

    It works like `asyncio.timeout` without a timer: `cut` cancels the task, and the end of the block turns the
    cancellation into the error. The handler's own clean-up runs first.
    """

    def __init__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a guard is made inside the task that it guards")
        self._task = task
        self._cancelling = task.cancelling()
        self._cut_error: ServiceError | None = None
        self._is_open = False

    def __enter__(self) -> "Guard":
        self._is_open = True
        return self

    def cut(self, error: ServiceError) -> None:
        """End the block with this error. Does nothing if the block has ended or was cut before."""
        if self._is_open and self._cut_error is None:
            self._cut_error = error
            self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open = False
        if self._cut_error is None:
            return
        cancelled_by_others = self._task.uncancel() > self._cancelling
        if isinstance(error, asyncio.CancelledError) and not cancelled_by_others:
            raise self._cut_error from None


class StreamGuards:
    """The streams that a server has open."""

    def __init__(self) -> None:
        self._guards: dict[Guard, bool] = {}

    @contextmanager
    def guarded(self, *, ends_itself: bool) -> Iterator[Guard]:
        """Guard the current task. A stream that `ends_itself` is not cut at the beginning of a drain."""
        with Guard() as guard:
            self._guards[guard] = ends_itself
            try:
                yield guard
            finally:
                del self._guards[guard]

    @contextmanager
    def ended_within(self, grace: float, error: ServiceError) -> Iterator[None]:
        """End open streams with `error` while the block drains a server for `grace` seconds.

        Clients that watch the server's health see the drain first. A stream that ends itself is cut only shortly before
        gRPC would end it without a status.
        """
        loop = asyncio.get_running_loop()
        cuts = [
            loop.call_later(min(_FIRST_CUT_SECONDS, grace / 2), lambda: self._cut(error, all_of_them=False)),
            loop.call_later(grace * _LAST_CUT_SHARE, lambda: self._cut(error, all_of_them=True)),
        ]
        try:
            yield
        finally:
            for cut in cuts:
                cut.cancel()

    def _cut(self, error: ServiceError, *, all_of_them: bool) -> None:
        for guard, ends_itself in list(self._guards.items()):
            if all_of_them or not ends_itself:
                guard.cut(error)
