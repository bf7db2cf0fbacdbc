"""The HTTP server and its listening socket."""

import contextlib
import math
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from services.gateway.http.connection import Connection

_BACKLOG = 1024
_IDLE_SECONDS = 75


class ListenError(OSError):
    """The server cannot listen on its configured address."""


class HttpServer(uvicorn.Server):
    """A uvicorn server that leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture no signals."""
        yield


def http_server(app: Any, drain: float) -> HttpServer:
    """Return a server for an application. At its exit, requests in progress have `drain` seconds to end."""
    return HttpServer(
        uvicorn.Config(
            app, http=Connection, ws="none", lifespan="off", interface="asgi3", log_config=None, access_log=False,
            server_header=False, proxy_headers=False, timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=math.ceil(drain),
        )
    )  # fmt: skip


def listen(host: str, port: int, write_deadline: float) -> socket.socket:
    """Return a socket that listens on an address; port 0 means any free port. Raises ListenError.

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
        raise ListenError(f"cannot listen on {host}:{port}: is the port taken?") from error
