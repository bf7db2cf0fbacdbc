"""A process of the suite that a test can start, kill, pause and end, and its log."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from libs.embedded import ChildSpec
from libs.embedded.child import Child
from libs.embedded.leftovers import process_started
from tests.support.pausing import pause


class SuiteProcess:
    """A process of the suite. It restarts with the same command line, environment and ports."""

    def __init__(self, spec: ChildSpec, folder: Path, address: str = "", metrics: str = "") -> None:
        self.name = spec.name
        self.address = address
        self.metrics = metrics
        self._spec = spec
        self._folder = folder
        self._child: Child | None = None
        self._paused = False

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._child is not None, f"{self.name} was not started"
        return self._child.pid

    @property
    def log(self) -> Path:
        """Its log, over all restarts."""
        return self._folder / f"{self.name}.log"

    async def start(self, **changes: str) -> None:
        """Starts it with these permanent changes to its environment, and waits until it is ready."""
        await self.launch(**changes)
        assert await self.until_ready(), f"{self.name} did not get ready:\n{self.log.read_text()[-4000:]}"

    async def launch(self, **changes: str) -> None:
        """Starts it as `start` does, without waiting: it may end before it is ready."""
        self._spec = replace(self._spec, environment={**self._spec.environment, **changes})
        self._child = await Child.start(self._spec, self._folder, self._folder)

    async def until_ready(self) -> bool:
        """Waits until it is ready; false if it ended first or took too long."""
        assert self._child is not None
        return await self._child.until_ready()

    async def ends_within(self, seconds: float) -> bool:
        """Waits at most `seconds` for it to end by itself, and returns whether it did."""
        assert self._child is not None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._child.wait(), max(0.0, seconds))
        return not self.is_running

    async def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Kills this process, but not those that it started."""
        assert self._child is not None
        os.kill(self._child.pid, number)
        await asyncio.wait_for(self._child.wait(), 20)
        self._child.kill()  # the rest of its process group, and its pid file

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal, without waiting."""
        os.kill(self.pid, number)

    def pause(self) -> None:
        """Freezes it until `resume`."""
        self._paused = True
        pause(self.pid)

    def resume(self) -> None:
        """Resumes it if it is paused."""
        if self._paused and self.is_running:
            self.send(signal.SIGCONT)
        self._paused = False

    async def end(self, seconds: float = 20.0) -> int:
        """Ends it by SIGTERM and returns its exit code; fails if it takes longer than `seconds`."""
        assert self._child is not None
        self.send(signal.SIGTERM)
        code = await asyncio.wait_for(self._child.wait(), seconds)
        self._child.kill()
        return code

    async def clear(self) -> None:
        """Kills it and its process group, without an orderly end."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            await asyncio.wait_for(child.wait(), 20)

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self._child is not None and self._child.exit_code is None


def logs_of(parts: Sequence[SuiteProcess]) -> list[dict[str, Any]]:
    """Every line of these processes' logs; fails for a line that is not a JSON object."""
    lines = [line for part in parts for line in part.log.read_text().splitlines()]
    read = [json.loads(line) for line in lines]
    assert all(isinstance(line, dict) for line in read)
    return read


def logged(parts: Sequence[SuiteProcess], event: str) -> list[dict[str, Any]]:
    """The lines with this event in these processes' logs."""
    return [line for line in logs_of(parts) if line["event"] == event]


def runs(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    return process_started(pid) is not None
