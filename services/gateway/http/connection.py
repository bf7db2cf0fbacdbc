"""HTTP connections: uvicorn's, with limits on the head of a request, which uvicorn lacks."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD_BYTES = 64 * 1024
_HEAD_SECONDS = 15.0


class HttpConnection(HttpToolsProtocol):
    """Disconnects clients that send a head that is too large or that does not end in time."""

    _head_bytes = 0
    _is_in_head = True
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start the timer for the first head."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Process received data, and count its bytes while a head is being read."""
        if not self._is_in_head:
            super().data_received(data)
            return
        self._head_bytes += len(data)
        self._wait_for_head()
        super().data_received(data)
        # At the end of a head, the count is 0 again.
        if self._head_bytes > _HEAD_BYTES:
            self.transport.abort()

    def on_headers_complete(self) -> None:
        """Stop the timer and the count: the body begins."""
        self._is_in_head, self._head_bytes = False, 0
        self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Expect the next head. Its timer starts with its first byte: uvicorn closes idle connections."""
        self._is_in_head = True
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(_HEAD_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
