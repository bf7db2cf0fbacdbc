"""The two transports behind one shape: streams for the SDK's session, and an orderly end."""

from collections.abc import Callable
from typing import Protocol

from mcp.client import Transport as StreamTransport


class Transport(Protocol):
    """Opened, held and closed by one task, the connection's owner."""

    grace: float
    """Seconds that leaving `open` may take; read when it is left."""

    @property
    def makes_closed_errors(self) -> bool:
        """Whether the transport itself answers with CONNECTION_CLOSED when one request's stream breaks."""

    def open(self, lose: Callable[[str], None]) -> StreamTransport:
        """Yield the session's streams; calls `lose` with the reason once they lead nowhere any more.

        Once left, nothing remains of what was opened, process group included. Raises `OSError` when there is
        nothing to open.
        """

    def diagnosis(self) -> str:
        """Return what is known of a server that failed, for the operator's log; never for a tenant."""
