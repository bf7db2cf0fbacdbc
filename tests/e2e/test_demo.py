"""`python -m examples.demo` as a process."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.engines import reachable_home
from tests.support.eventually import eventually

pytestmark = [
    pytest.mark.slow(16),
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc"),
]

_ROOT = Path(__file__).parents[2]
_SECONDS = 90  # it takes about 15 s on an idle machine
_STORY = [
    "services ready",
    "session.started",
    "agent.connected",
    "command.enqueued",
    "command.started",
    "hello, Callboard",
    "40 of 40",
    "failure 1 of 2",
    "failure 2 of 2",
    "worked at call 3",
    "the disk is full",
    "command.dead_lettered",
    "command.requeued",
    "worked at call 2",
    "session.stopping",
    "command.cancelled",
    "session.stopped",
    "7 accepted, 4 completed, 2 dead letters, 1 cancelled",
]


class Demo:
    """A running demo. All processes of it have `folder` in their command line, environment or working directory."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.output = ""

    async def until(self, text: str) -> None:
        assert self.process.stdout is not None
        while text not in self.output:
            line = await asyncio.wait_for(self.process.stdout.readline(), _SECONDS)
            assert line, self.output
            self.output += line.decode()

    async def ended(self) -> int:
        rest, _ = await asyncio.wait_for(self.process.communicate(), _SECONDS)
        self.output += rest.decode()
        return self.process.returncode or 0

    def processes(self) -> dict[int, str]:
        """Its live processes, by id, with their command lines."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    line = (entry / "cmdline").read_bytes()
                    traces = [line, (entry / "environ").read_bytes(), os.fsencode((entry / "cwd").readlink())]
                    if line and any(os.fsencode(self.folder) in trace for trace in traces):
                        found[int(entry.name)] = line.replace(b"\0", b" ").decode(errors="replace")
        return found

    def assert_nothing_left(self) -> None:
        assert self.processes() == {}
        assert list(self.folder.iterdir()) == []


@asynccontextmanager
async def running_demo() -> AsyncIterator[Demo]:
    with reachable_home() as folder:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CALLBOARD_")}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "examples.demo",
            cwd=_ROOT,
            env={**environment, "TMPDIR": str(folder), "COLUMNS": "120"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        demo = Demo(process, folder)
        try:
            yield demo
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                await demo.ended()


async def test_demo_plays_its_story_and_leaves_nothing() -> None:
    async with running_demo() as demo:
        await demo.until("agent.connected")
        lines = " ".join(demo.processes().values())
        for part in ("postgres", "nats-server", "services.session", "services.gateway", "trial_server"):
            assert part in lines  # so that a leftover would be found
        assert await demo.ended() == 0, demo.output
        position = 0
        for text in _STORY:
            position = demo.output.find(text, position)
            assert position >= 0, f"{text!r} is missing, or comes too early, in:\n{demo.output}"
        last = re.search(r"events +(\d+), numbered 1 to (\d+) without a gap", demo.output)
        assert last is not None
        assert last[1] == last[2]
        assert "\x1b" not in demo.output  # no colours without a terminal
        demo.assert_nothing_left()


@pytest.mark.parametrize("moment", ["engines ready", "command.progress"])
async def test_interrupted_demo_leaves_nothing(moment: str) -> None:
    async with running_demo() as demo:
        await demo.until(moment)
        demo.process.send_signal(signal.SIGINT)
        assert await demo.ended() == 130, demo.output
        await eventually(lambda: not demo.processes())
        demo.assert_nothing_left()
