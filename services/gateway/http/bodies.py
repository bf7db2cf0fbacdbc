"""Reads the bodies of requests, within limits."""

import asyncio

from starlette.types import Receive

from libs.errors import Reason, ServiceError

LIMIT = 1024 * 1024
"""The largest body that is accepted."""
DRAIN_LIMIT = 8 * 1024 * 1024
"""How much of a rejected body is read before the connection is closed."""
_SECONDS = 30.0


class ClientGoneError(Exception):
    """The client has closed its connection, so no response can be sent."""


class BodyReader:
    """The body of one request. `is_spent` says whether it was read to its end, so that the connection can be reused."""

    def __init__(self, receive: Receive, headers: dict[bytes, bytes]) -> None:
        self._receive = receive
        length = headers.get(b"content-length", b"")
        self._length = int(length) if length.isdigit() else 0
        self._waits_to_be_asked = headers.get(b"expect", b"").lower() == b"100-continue"
        self.is_spent = b"transfer-encoding" not in headers and self._length == 0

    async def read(self) -> bytes:
        """Return the body; raises ServiceError PAYLOAD_TOO_LARGE or DEADLINE_EXCEEDED, or ClientGoneError."""
        if self._length > LIMIT:
            raise _too_large()
        self._waits_to_be_asked = False
        pieces, size = [], 0
        while not self.is_spent:
            pieces.append(await self._next())
            size += len(pieces[-1])
            if size > LIMIT:
                raise _too_large()
        return b"".join(pieces)

    async def linger(self) -> None:
        """Read and discard the rest after an error.

        A client that writes the whole body before it reads would otherwise see a broken connection, not the response.
        """
        size = 0
        try:
            async with asyncio.timeout(_SECONDS):
                while not self.is_spent and not self._waits_to_be_asked and size < DRAIN_LIMIT:
                    size += len(await self._next())
        except (ClientGoneError, TimeoutError, ServiceError):
            return  # the response was already sent

    async def _next(self) -> bytes:
        try:
            async with asyncio.timeout(_SECONDS):
                message = await self._receive()
        except TimeoutError:
            raise ServiceError(Reason.DEADLINE_EXCEEDED, "the body did not arrive in time") from None
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        self.is_spent = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        return piece


def _too_large() -> ServiceError:
    return ServiceError(
        Reason.PAYLOAD_TOO_LARGE, f"the body is larger than {LIMIT} bytes", metadata={"limit_bytes": str(LIMIT)}
    )
