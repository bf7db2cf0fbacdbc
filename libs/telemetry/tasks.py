"""Background tasks that do not die unseen."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

import structlog

_log = structlog.get_logger(__name__)
_CLOSE_SECONDS = 10.0


class TaskDiedError(RuntimeError):
    """A background task that should have run on has ended; the cause is chained."""


class TaskWatch:
    """Runs named tasks; when one dies, it is logged and `failed` is done, so that the process stops.

    `failed` never raises by itself: await it, or look at its exception, a TaskDiedError.
    """

    def __init__(self) -> None:
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks: list[asyncio.Task[Any]] = []
        self._closing = False

    async def __aenter__(self) -> "TaskWatch":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def start(self, name: str, work: Coroutine[Any, Any, Any], *, may_end: bool = False) -> asyncio.Task[Any]:
        """Start a task. It is to run until it is cancelled, unless it `may_end` by returning."""
        task = asyncio.create_task(work, name=name)
        self._tasks.append(task)
        task.add_done_callback(lambda done: self._ended(done, may_end=may_end))
        return task

    async def until(self, stop: asyncio.Event) -> None:
        """Wait until the process is to stop; raises TaskDiedError when a task dies first."""
        waiting = asyncio.create_task(stop.wait(), name="stop")
        try:
            either: list[asyncio.Future[Any]] = [waiting, self.failed]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if self.failed.done():
                self.failed.result()
        finally:
            waiting.cancel()

    async def close(self) -> None:
        """Cancel all tasks, the last one first, each awaited before the next; then `failed` is done."""
        self._closing = True
        for task in reversed(self._tasks.copy()):
            task.cancel()
            await asyncio.wait({task}, timeout=_CLOSE_SECONDS)
            if not task.done():
                _log.error("task_does_not_end", task=task.get_name())
        if not self.failed.done():
            self.failed.cancel()

    def _ended(self, task: asyncio.Task[Any], *, may_end: bool) -> None:
        self._tasks.remove(task)
        error = None if task.cancelled() else task.exception()
        if error is None and (may_end or self._closing or task.cancelled()):
            return
        _log.error("task_died", task=task.get_name(), exc_info=error)
        if not self.failed.done():
            died = TaskDiedError(f"the task {task.get_name()!r} has died")
            died.__cause__ = error
            self.failed.set_exception(died)
            self.failed.exception()  # the log has it: no second report when nobody awaits the future
