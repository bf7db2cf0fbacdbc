"""Supervised background tasks."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

import structlog

_log = structlog.get_logger(__name__)
_CLOSE_SECONDS = 10.0


class TaskDiedError(RuntimeError):
    """A background task ended that should have kept running. The cause is chained."""


class TaskWatch:
    """Runs named tasks. When one dies, it logs the error and completes `failed`, so that the process can stop.

    Await `failed`, or read its exception, a TaskDiedError.
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
        """Start a task. It must run until it is cancelled, unless `may_end` allows it to return."""
        task = asyncio.create_task(work, name=name)
        self._tasks.append(task)
        task.add_done_callback(lambda done: self._ended(done, may_end=may_end))
        return task

    async def until(self, stop: asyncio.Event) -> None:
        """Wait for `stop`; raises TaskDiedError if a task dies first."""
        waiting = asyncio.create_task(stop.wait(), name="stop")
        try:
            either: list[asyncio.Future[Any]] = [waiting, self.failed]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if self.failed.done():
                self.failed.result()
        finally:
            waiting.cancel()

    async def close(self) -> None:
        """Cancel and await all tasks one by one, the last one first. Then `failed` is done."""
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
            self.failed.exception()  # it is logged; asyncio need not report a future that nobody awaits
