"""A TCP proxy for one link whose faults are switched on and off while it runs."""

import asyncio
import contextlib
import re
import socket
import struct
from dataclasses import dataclass

from tests.chaos.pg_frames import ClientStatements, ends_with_ready

_CHUNK = 64 * 1024  # bytes
_LINGER_ZERO = struct.pack("ii", 1, 0)  # close sends RST


@dataclass(frozen=True)
class Weather:
    """What happens to bytes. `lost_up` loses what the client sends, `lost_down` the replies. `latency` in seconds."""

    latency: float = 0.0
    lost_up: bool = False
    lost_down: bool = False


CALM = Weather()
BLACKHOLE = Weather(lost_up=True, lost_down=True)


class _Pair:
    """One connection of the link. Lost bytes stay lost, so a connection that lost some is cut in calm weather."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter | None) -> None:
        self.client = client
        self.server = server
        self.has_lost = False
        self.swallows = False
        self.statements = ClientStatements()

    def cut(self) -> None:
        """Reset both sides."""
        for writer in (self.client, self.server):
            if writer is not None and not writer.is_closing():
                sock = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
                writer.transport.abort()


class Link:
    """A proxy on a loopback port in front of one server; `name` is `client>server`."""

    def __init__(self, name: str, host: str, port: int) -> None:
        self.name = name
        self.port = 0
        self.dropped: list[str] = []
        """The statements that were dropped, or whose replies were."""
        self._host, self._target = host, port
        self._weather = CALM
        self._pairs: set[_Pair] = set()
        self._replies: list[re.Pattern[str]] = []
        self._requests: list[re.Pattern[str]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_CHUNK)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End all connections and stop listening."""
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Reset every connection. New ones are accepted."""
        for pair in list(self._pairs):
            pair.cut()

    def turn(self, weather: Weather) -> None:
        """Change the weather, and reset connections that have lost bytes."""
        self._weather = weather
        for pair in [pair for pair in self._pairs if pair.has_lost]:
            pair.cut()

    def calm(self) -> None:
        """Forward everything again. Pending drops are cancelled."""
        self._replies.clear()
        self._requests.clear()
        self.turn(CALM)

    def drop_reply(self, pattern: str) -> None:
        """Drop the reply to the next matching statement after its commit, and cut the connection."""
        self._replies.append(re.compile(pattern))

    def drop_request(self, pattern: str) -> None:
        """Drop the next matching statement, and cut the connection."""
        self._requests.append(re.compile(pattern))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        pair = _Pair(writer, None)
        self._pairs.add(pair)
        try:
            if self._weather.lost_up or self._weather.lost_down:  # accepted, then silent
                pair.has_lost = True
                await reader.read(-1)
                return
            server_reader, pair.server = await asyncio.open_connection(self._host, self._target, limit=_CHUNK)
            await asyncio.gather(self._up(pair, reader, pair.server), self._down(pair, server_reader, writer))
        except OSError:
            pass
        finally:
            pair.cut()
            self._pairs.discard(pair)
            self._tasks.discard(task)

    async def _up(self, pair: _Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            if (self._replies or self._requests or self.name.endswith(">postgres")) and self._is_dropped(pair, data):
                break
            if self._weather.lost_up:
                pair.has_lost = True
                continue
            await self._forward(data, writer)
        pair.cut()

    async def _down(self, pair: _Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        swallowed = b""
        while data := await reader.read(_CHUNK):
            if pair.swallows:
                swallowed = (swallowed + data)[-16:]
                if ends_with_ready(swallowed):
                    break
                continue
            if self._weather.lost_down:
                pair.has_lost = True
                continue
            await self._forward(data, writer)
        pair.cut()

    async def _forward(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        if self._weather.latency:
            await asyncio.sleep(self._weather.latency)
        writer.write(data)
        await writer.drain()

    def _is_dropped(self, pair: _Pair, data: bytes) -> bool:
        """Report whether these bytes run a statement to drop. Also starts to drop replies."""
        for sql in pair.statements.feed(data):
            pair.swallows = self._takes(self._replies, sql) or pair.swallows
            if self._takes(self._requests, sql):
                return True
        return False

    def _takes(self, pending: list[re.Pattern[str]], sql: str) -> bool:
        for pattern in [pattern for pattern in pending if pattern.search(sql)][:1]:
            pending.remove(pattern)
            self.dropped.append(pattern.pattern)
            return True
        return False
