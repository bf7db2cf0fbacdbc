"""A small HTTP server for those who watch a process: `/metrics` and `/healthz`."""

import asyncio
import contextlib
from collections.abc import Callable
from http import HTTPStatus
from types import TracebackType

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_REQUEST_SECONDS = 5.0
_REQUEST_BYTES = 16 * 1024
_TEXT = "text/plain; charset=utf-8"


def new_registry() -> CollectorRegistry:
    """Make a registry that measures the process already."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class MetricsServer:
    """Answers on `port` (0 is any; `port` holds the real one) while its block lasts, a connection a request.

    `is_healthy` decides between 200 and 503 for `/healthz`. Raises OSError when the port is taken.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        is_healthy: Callable[[], bool],
        *,
        port: int,
        host: str = "127.0.0.1",
    ) -> None:
        self.host = host
        self.port = port
        self._registry = registry
        self._is_healthy = is_healthy
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "MetricsServer":
        self._server = await asyncio.start_server(self._serve, self.host, self.port, limit=_REQUEST_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # What a client does to its own connection concerns nobody else.
        with contextlib.suppress(OSError, EOFError, asyncio.LimitOverrunError, TimeoutError):
            async with asyncio.timeout(_REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head.split(b"\r\n", 1)[0].decode("latin-1")))
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def _answer(self, request_line: str) -> bytes:
        match request_line.split(" "):
            case ["GET", path, version] if version.startswith("HTTP/1."):
                return self._page(path.partition("?")[0])
            case _:
                return _response(HTTPStatus.BAD_REQUEST, _TEXT, b"GET only\n")

    def _page(self, path: str) -> bytes:
        match path:
            case "/metrics":
                return _response(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(self._registry))
            case "/healthz" if self._is_healthy():
                return _response(HTTPStatus.OK, _TEXT, b"ok\n")
            case "/healthz":
                return _response(HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"not healthy\n")
            case _:
                return _response(HTTPStatus.NOT_FOUND, _TEXT, b"/metrics or /healthz\n")


def _response(status: HTTPStatus, content_type: str, body: bytes) -> bytes:
    head = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body
