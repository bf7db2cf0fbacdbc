"""A small HTTP server for monitoring: `/metrics` and `/healthz`."""

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
    """Return a new registry with the metrics of the process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class MetricsServer:
    """Serves while its block lasts, one request for each connection.

    With `port` 0 it takes any free port; `port` then holds the real one. `/healthz` returns 200 if `is_healthy()`, or
    else 503. Raises OSError when the port is taken. Why this is not prometheus_client's server: docs/adr/0021.
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
        # A client that breaks its own connection must not affect anyone else.
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
