"""Controls a process of subscribers."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import orjson

from bench.floors.server import SERVICE
from bench.rig import Rig
from callboard.events.v1.events_pb2 import STREAM_START_BEGINNING, StreamEventsRequest
from services.cli.home import SOURCE_ROOT

_PATIENCE = 60.0
OURS = "/callboard.events.v1.EventService/StreamEvents"
FLOOR = f"/{SERVICE}/Stream"


@dataclass(frozen=True, slots=True)
class Arrival:
    """When the last event arrived (wall clock), and the median latency of all in ms."""

    end: float
    p50_ms: float


class Fleet:
    """A process with many streams open."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        async with asyncio.timeout(_PATIENCE):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the subscribers' process has ended")
        return line.strip()

    async def ready(self) -> Self:
        """Wait until every stream has started."""
        assert await self._line() == b"ready"
        return self

    async def expect(self, events: int) -> None:
        """Start to count. Each stream will receive `events` events."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"%d\n" % events)
        assert await self._line() == b"go"

    async def arrived(self) -> Arrival:
        """Wait until all events have arrived."""
        return Arrival(**orjson.loads(await self._line()))


@asynccontextmanager
async def subscribed(rig: Rig, address: str, session_id: str, streams: int) -> AsyncIterator[Fleet]:
    """Follow a session with `streams` streams. An empty session id means the stream of the bare server."""
    request = StreamEventsRequest(session_id=session_id, start=STREAM_START_BEGINNING) if session_id else None
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.clients.subscribers",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=SOURCE_ROOT,
        env={
            **os.environ, "BENCH_ADDRESS": address, "BENCH_METHOD": OURS if session_id else FLOOR,
            "BENCH_REQUEST": request.SerializeToString().hex() if request else "", "BENCH_KEY": rig.key,
            "BENCH_STREAMS": str(streams),
        },
    )  # fmt: skip
    try:
        yield await Fleet(process).ready()
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
