"""The streamable HTTP transport: the SDK's own, over a client that notes the statuses it meets."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import anyio
import httpx2
from mcp.client._transport import TransportStreams
from mcp.client.streamable_http import streamable_http_client

from libs.server_registry import HttpEntry

# No limit to reading: how long an answer may take is the command's own timeout.
_TIMEOUT = httpx2.Timeout(10.0, read=None, write=30.0)
# Bytes. A larger answer breaks the connection off; below that, one that is too large is refused alone.
_LARGEST_EVENT = 128 * 1024 * 1024
_SESSION_HEADER = "mcp-session-id"


@dataclass(slots=True)
class Exchange:
    """What HTTP said to one request of the session."""

    status: int | None = None


exchange: ContextVar[Exchange | None] = ContextVar("exchange", default=None)
"""The exchange of the calling task; the SDK sends each request in its caller's context."""


class HttpTransport:
    """A `Transport` to a server that runs elsewhere."""

    makes_closed_errors = True

    def __init__(self, entry: HttpEntry) -> None:
        self.grace = 0.0
        self._entry = entry
        self._last_status: int | None = None

    def diagnosis(self) -> str:
        """Return the URL and the last status that was no success."""
        status = "no status but success" if self._last_status is None else f"status {self._last_status}"
        return f"{self._entry.url} gave {status}"

    @asynccontextmanager
    async def open(self, lose: Callable[[str], None]) -> AsyncGenerator[TransportStreams]:
        """See `Transport`."""

        async def note(response: httpx2.Response) -> None:
            self._note(response, lose)

        # The environment's proxies are the runner's, not the catalogue's.
        async with httpx2.AsyncClient(timeout=_TIMEOUT, trust_env=False, event_hooks={"response": [note]}) as client:
            with anyio.CancelScope() as leaving:
                transport = streamable_http_client(
                    self._entry.url, http_client=client, max_sse_event_size=_LARGEST_EVENT
                )
                async with transport as streams:
                    yield streams
                    # A server that hangs must not hold up the DELETE that ends its session.
                    leaving.deadline = anyio.current_time() + self.grace

    def _note(self, response: httpx2.Response, lose: Callable[[str], None]) -> None:
        if (current := exchange.get()) is not None:
            current.status = response.status_code
        if not response.is_success:
            self._last_status = response.status_code
        if response.status_code == httpx2.codes.NOT_FOUND and _SESSION_HEADER in response.request.headers:
            # So the protocol says it: the server restarted, or forgot the session. A new one must be opened.
            lose("the server no longer knows the session")
