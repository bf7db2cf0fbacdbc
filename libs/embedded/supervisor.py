"""Keeps named children running: starts them in order, restarts those that crash, and stops all in reverse order."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from libs.embedded.child import (
    Child,
    ChildSpec,
    last_lines,
)
from libs.embedded.errors import ChildError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RestartPolicy:
    """How many restarts of a child are allowed within a period, and how long to wait before each, in seconds."""

    restarts: int = 5
    within: float = 60.0
    first_delay: float = 0.1
    longest_delay: float = 5.0

    def delay(self, crashes: int) -> float | None:
        """Return the wait before the next start, or None if the child has crashed too often."""
        if crashes > self.restarts:
            return None
        return float(min(self.longest_delay, self.first_delay * 2 ** (crashes - 1)))


class Supervisor:
    """Child processes by name, in the order of their start.

    Use it as `async with`: leaving the block stops all children. `until_failure()` raises when a child has crashed too
    often.
    """

    def __init__(
        self,
        logs: Path,
        run: Path,
        policy: RestartPolicy = RestartPolicy(),
        on_restart: Callable[[str, int], None] = lambda _name, _pid: None,
    ) -> None:
        self._logs = logs
        self._run = run
        self._policy = policy
        self._on_restart = on_restart
        self._children: dict[str, Child] = {}
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stopping = asyncio.create_task(self.stop(), name="stop")
        try:
            await asyncio.shield(stopping)
        except asyncio.CancelledError:
            # even a second cancellation must not leave a child running
            await stopping
            raise

    @property
    def pids(self) -> dict[str, int]:
        """The process ids by name of the child."""
        return {name: child.pid for name, child in self._children.items()}

    async def start(self, *specs: ChildSpec) -> None:
        """Start the children concurrently and wait until all are ready.

        Raises ChildError for the first child that ends or is not ready in time.
        """
        for spec in specs:
            self._children[spec.name] = await Child.start(spec, self._logs, self._run)
        waits = [asyncio.create_task(self._first_ready(self._children[spec.name])) for spec in specs]
        try:
            await asyncio.gather(*waits)
        finally:
            for wait in waits:
                wait.cancel()
        for spec in specs:
            watcher = asyncio.create_task(self._watch(spec.name), name=f"watch {spec.name}")
            watcher.add_done_callback(self._watcher_ended)
            self._watchers[spec.name] = watcher

    async def until_failure(self) -> None:
        """Wait; raises ChildError when a child has crashed too often."""
        await asyncio.shield(self._failure)

    async def stop(self) -> None:
        """Stop all children, the last one first."""
        for watcher in self._watchers.values():
            watcher.cancel()
        await asyncio.gather(*self._watchers.values(), return_exceptions=True)
        if self._failure.done():
            self._failure.exception()  # mark it as retrieved; nobody has to wait for it
        self._watchers.clear()
        while self._children:
            _, child = self._children.popitem()
            await child.stop()

    def kill(self) -> None:
        """Kill all children at once, without waiting."""
        for child in self._children.values():
            child.kill()

    async def _first_ready(self, child: Child) -> None:
        if not await child.until_ready():
            raise self._error(child, self._why_not_ready(child))

    async def _watch(self, name: str) -> None:
        """Restart the child whenever it ends; raises ChildError if it has ended too often."""
        crashes: deque[float] = deque()
        clock = asyncio.get_running_loop().time
        while True:
            child = self._children[name]
            problem = f"ended with {await child.wait()}"
            child.kill()
            crashes.append(clock())
            while crashes[0] < clock() - self._policy.within:
                crashes.popleft()
            delay = self._policy.delay(len(crashes))
            if delay is None:
                raise self._error(child, f"{problem}, {len(crashes)} times in {self._policy.within:g} s")
            _log.warning("%s %s; starting it again in %.1f s", name, problem, delay)
            await asyncio.sleep(delay)
            await self._restart(child.spec)

    async def _restart(self, spec: ChildSpec) -> None:
        child = await Child.start(spec, self._logs, self._run)
        self._children[spec.name] = child
        if await child.until_ready():
            self._on_restart(spec.name, child.pid)
        else:
            _log.warning("%s %s", spec.name, self._why_not_ready(child))
            child.kill()

    def _watcher_ended(self, watcher: asyncio.Task[None]) -> None:
        """Make a watcher's error the failure of the supervisor."""
        if not watcher.cancelled() and (error := watcher.exception()) and not self._failure.done():
            self._failure.set_exception(error)

    @staticmethod
    def _why_not_ready(child: Child) -> str:
        if child.exit_code is not None:
            return f"ended with {child.exit_code} before it was ready"
        return f"was not ready within {child.spec.ready_seconds:g} s"

    @staticmethod
    def _error(child: Child, problem: str) -> ChildError:
        return ChildError(child.spec.name, problem, last_lines(child.log))
