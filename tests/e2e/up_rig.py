"""`callboard up` as a user runs it: a process with its own home."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from libs.embedded.leftovers import process_started
from libs.rpc.stubs import Stubs
from services.cli.home import SOURCE_ROOT
from tests.support.processes import gateway_client

_STARTED = b"Ctrl-C stops it"


class Up:
    """A running `up`."""

    def __init__(self, process: asyncio.subprocess.Process, home: Path) -> None:
        self.process = process
        self.home = home
        self.output = b""

    @property
    def endpoints(self) -> dict[str, Any]:
        """Its endpoints.json."""
        return dict(json.loads((self.home / "endpoints.json").read_text()))

    @property
    def key(self) -> str:
        """The development key."""
        return (self.home / "dev-key").read_text().strip()

    @asynccontextmanager
    async def http(self) -> AsyncIterator[httpx2.AsyncClient]:
        """A client of its gateway, with the development key."""
        async with gateway_client(self.endpoints["http"], self.key) as client:
            yield client

    @asynccontextmanager
    async def grpc(self) -> AsyncIterator[Stubs]:
        """A client of its services, with the development key."""
        async with Stubs(self.endpoints["session"], self.endpoints["command"], self.key) as client:
            yield client

    async def until_up(self) -> None:
        """Waits until it prints that it is up."""
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            while _STARTED not in self.output:
                line = await self.process.stdout.readline()
                assert line, self.output.decode()
                self.output += line

    async def ended(self) -> int:
        """Waits until it has ended, and returns its exit code."""
        async with asyncio.timeout(60):
            rest, _ = await self.process.communicate()
        self.output += rest
        return self.process.returncode or 0

    def processes(self) -> dict[int, str]:
        """It and all its descendants, by pid, with the start times that tell them from later processes."""
        found = {pid: process_started(pid) for pid in (self.process.pid, *descendants(self.process.pid))}
        assert {*self.endpoints["pids"].values()} <= {*found}
        return {pid: started for pid, started in found.items() if started is not None}


@asynccontextmanager
async def started(home: Path, **variables: str) -> AsyncIterator[Up]:
    """Starts `up` on the home with free ports; kills it if the test leaves it running."""
    ours = ("DATABASE_URL", "NATS_URL")
    kept = {name: value for name, value in os.environ.items() if name not in ours and not name.startswith("CALLBOARD")}
    ports = {f"CALLBOARD_{name}_PORT": "0" for name in ("HTTP", "SESSION", "COMMAND")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "up"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=SOURCE_ROOT,
        env={**kept, **ports, "CALLBOARD_HOME": str(home), **variables},
    )
    try:
        yield Up(process, home)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


class HomeWithUp:
    """One home and its `up`, which is started on demand and ended at the end of the block."""

    def __init__(self, home: Path, **variables: str) -> None:
        self.home = home
        self.kept = ""
        """The session that the last `up` left running."""
        self._variables = variables
        self._stack = AsyncExitStack()
        self._up: Up | None = None

    async def __aenter__(self) -> "HomeWithUp":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def up(self) -> Up:
        """The running `up`."""
        if self._up is None or self._up.process.returncode is not None:
            self._up = await self._stack.enter_async_context(started(self.home, **self._variables))
            await self._up.until_up()
        return self._up


def descendants(pid: int) -> list[int]:
    """All descendants of a process, in whichever process groups and sessions they are."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(folder.name)] = int(fields[1])
    found, last = [], [pid]
    while last:
        last = [child for child, parent in parents.items() if parent in last]
        found += last
    return found


def left_of(processes: dict[int, str]) -> list[int]:
    """Those of the processes that still run."""
    return [pid for pid, was in processes.items() if process_started(pid) == was]
