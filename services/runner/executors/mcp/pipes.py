"""The three pipes of an agent process, on the event loop."""

import asyncio
from typing import cast

TAIL_BYTES = 8 * 1024


class TailBuffer(asyncio.Protocol):
    """Reads a pipe until it is closed, so that its writer never blocks, and keeps the last `limit` bytes."""

    def __init__(self, limit: int = TAIL_BYTES) -> None:
        self._limit = limit
        self._kept = bytearray()

    def data_received(self, data: bytes) -> None:
        """Append the data and drop the oldest bytes beyond the limit."""
        self._kept += data
        if len(self._kept) > self._limit:
            del self._kept[: -self._limit]

    def text(self) -> str:
        """Return the kept bytes as text. Invalid UTF-8 is replaced."""
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
        # A cast, because uvloop's transports are not subclasses of asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop when either end of the pipe was closed."""
        self._broken = True
        self._writable.set()

    def pause_writing(self) -> None:
        """Called by the event loop."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Called by the event loop."""
        self._writable.set()

    async def write(self, data: bytes) -> None:
        """Write, and wait until the buffer has drained. Raises `BrokenPipeError` once the pipe is closed."""
        if self._broken or self._transport is None:
            raise BrokenPipeError
        self._transport.write(data)
        await self._writable.wait()
        if self._broken:
            raise BrokenPipeError

    def close(self) -> None:
        """Close at once and drop buffered data, because the reader may never read it."""
        if self._transport is not None and not self._broken:
            self._transport.abort()
