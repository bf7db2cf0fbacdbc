"""The streamable HTTP transport: the SDK's transport over a client that records the status codes."""

import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache

import anyio
import httpx2
from mcp.client._transport import TransportStreams
from mcp.client.streamable_http import streamable_http_client

from libs.server_registry import HttpEntry

# Reading has no limit: the command's timeout bounds how long an answer may take.
_TIMEOUT = httpx2.Timeout(10.0, read=None, write=30.0)
# Bytes. A larger answer ends the connection. A smaller one that is still too large fails only its command.
_MAX_EVENT = 128 * 1024 * 1024
_SESSION_HEADER = "mcp-session-id"


@dataclass(slots=True)
class Exchange:
    """The HTTP status of one request of the session."""

    status: int | None = None


exchange: ContextVar[Exchange | None] = ContextVar("exchange", default=None)
"""The exchange of the calling task. The SDK sends each request in its caller's context."""


class HttpTransport:
    """A `Transport` to a server that the runner did not start."""

    makes_closed_errors = True

    def __init__(self, entry: HttpEntry) -> None:
        self.grace = 0.0
        self._entry = entry
        self._last_status: int | None = None

    def diagnosis(self) -> str:
        """Return the URL and the last status code that was not a success."""
        status = "no error status" if self._last_status is None else f"status {self._last_status}"
        return f"{self._entry.url} returned {status}"

    @asynccontextmanager
    async def open(self, on_lost: Callable[[str], None]) -> AsyncGenerator[TransportStreams]:
        """See `Transport`."""

        async def on_response(response: httpx2.Response) -> None:
            self._record_status(response, on_lost)

        # Proxies in the environment are meant for the runner, not for the servers in the registry.
        hooks = {"response": [on_response]}
        async with httpx2.AsyncClient(timeout=_TIMEOUT, trust_env=False, event_hooks=hooks, verify=_tls()) as client:
            with anyio.CancelScope() as leaving:
                transport = streamable_http_client(self._entry.url, http_client=client, max_sse_event_size=_MAX_EVENT)
                async with transport as streams:
                    yield streams
                    # The DELETE that ends the session must not wait for a server that hangs.
                    leaving.deadline = anyio.current_time() + self.grace

    def _record_status(self, response: httpx2.Response, on_lost: Callable[[str], None]) -> None:
        if (current := exchange.get()) is not None:
            current.status = response.status_code
        if not response.is_success:
            self._last_status = response.status_code
        if response.status_code == httpx2.codes.NOT_FOUND and _SESSION_HEADER in response.request.headers:
            # By the protocol, the server restarted or dropped the session, and a new session must be opened.
            on_lost("the server no longer knows the session")


@cache
def _tls() -> ssl.SSLContext:
    """Return the certificates to check servers with. Reading them blocks the event loop for 0.02 s, once a process."""
    return httpx2.create_ssl_context(trust_env=False)
