"""The HTTP server and its listening socket."""

import asyncio
import contextlib
import math
import socket
from collections.abc import Iterator
from typing import Any

import structlog
import uvicorn

from libs.telemetry.tasks import TaskWatch
from services.gateway.http.connection import HttpConnection

_log = structlog.get_logger(__name__)
_BACKLOG = 1024
_IDLE_SECONDS = 75


class HttpListenError(OSError):
    """The server cannot listen on its configured address."""


class HttpServer(uvicorn.Server):
    """A uvicorn server that leaves signals to the process. When it finishes, requests have `drain` seconds to end."""

    def __init__(self, app: Any, listener: socket.socket, drain: float) -> None:
        super().__init__(
            uvicorn.Config(
                app, http=HttpConnection, ws="none", lifespan="off", interface="asgi3", log_config=None,
                access_log=False, server_header=False, proxy_headers=False, timeout_keep_alive=_IDLE_SECONDS,
                timeout_graceful_shutdown=math.ceil(drain),
            )
        )  # fmt: skip
        self._listener = listener
        self._serving: asyncio.Task[Any] | None = None

    @property
    def address(self) -> str:
        """The address for clients."""
        host, port = self._listener.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def start(self, tasks: TaskWatch) -> None:
        """Serve in the background."""
        self._serving = tasks.start("http", self.serve([self._listener]), may_end=True)
        _log.info("serving", address=self.address)

    async def finish(self) -> None:
        """Accept no more requests, and wait until those in progress have ended."""
        self.should_exit = True
        if self._serving is not None:
            await self._serving

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture no signals."""
        yield


def listen(host: str, port: int, write_deadline: float) -> socket.socket:
    """Return a socket that listens on an address; port 0 means any free port. Raises HttpListenError.

    The kernel disconnects clients that do not read for longer than the deadline. A normal close would wait until they
    have read the last byte.
    """
    try:
        with contextlib.ExitStack() as stack:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listener = stack.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(write_deadline * 1000))
            listener.bind(address)
            listener.listen(_BACKLOG)
            listener.setblocking(False)
            stack.pop_all()  # keep it open
            return listener
    except OSError as error:
        raise HttpListenError(f"cannot listen on {host}:{port}: is the port taken?") from error
