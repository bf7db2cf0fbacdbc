"""The interface of the two transports: streams for the SDK's session, and an orderly shutdown."""

from collections.abc import Callable
from typing import Protocol

from mcp.client import Transport as StreamTransport


class Transport(Protocol):
    """A way to reach one server. One task, the owner of the connection, opens, holds and closes it."""

    grace: float
    """How many seconds leaving `open` may take. Read when the context is left."""

    @property
    def makes_closed_errors(self) -> bool:
        """Whether the transport reports CONNECTION_CLOSED when the stream of one request breaks."""

    def open(self, on_lost: Callable[[str], None]) -> StreamTransport:
        """Yield the session's streams. Calls `on_lost` with the reason once they no longer reach the server.

        Leaving the context frees everything that was opened, including the process group. Raises `OSError` if the
        server cannot be started or reached.
        """

    def diagnosis(self) -> str:
        """Return what is known about a failed server. Meant for the operator's log, never for a tenant."""
