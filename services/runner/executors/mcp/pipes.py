"""The three pipes of an agent process, on the event loop."""

import asyncio
from typing import cast

TAIL_BYTES = 8 * 1024


class TailBuffer(asyncio.Protocol):
    """Reads a pipe for as long as it is open, so that its writer never blocks, and keeps the last bytes."""

    def __init__(self, limit: int = TAIL_BYTES) -> None:
        self._limit = limit
        self._kept = bytearray()

    def data_received(self, data: bytes) -> None:
        """Keep what fits, drop the oldest."""
        self._kept += data
        if len(self._kept) > self._limit:
            del self._kept[: -self._limit]

    def text(self) -> str:
        """Return what was kept, with what is not UTF-8 replaced."""
        return self._kept.decode("utf-8", "replace").strip()


class PipeWriter(asyncio.BaseProtocol):
    """Writes to a pipe with back-pressure."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._broken = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        # A cast: uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop: the other end was closed, or ours."""
        self._broken = True
        self._writable.set()

    def pause_writing(self) -> None:
        """Called by the event loop."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Called by the event loop."""
        self._writable.set()

    async def write(self, data: bytes) -> None:
        """Write, and wait until the buffer is low again; raises `BrokenPipeError` once the pipe is closed."""
        if self._broken or self._transport is None:
            raise BrokenPipeError
        self._transport.write(data)
        await self._writable.wait()
        if self._broken:
            raise BrokenPipeError

    def close(self) -> None:
        """Close at once and drop what is still buffered: its reader may never read it."""
        if self._transport is not None:
            self._transport.abort()
