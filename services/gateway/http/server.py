"""The HTTP server: its listener, and how it is stopped."""

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
    """The server cannot listen where it was told to."""


class HttpServer(uvicorn.Server):
    """Leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def http_server(app: Any, drain: float) -> HttpServer:
    """Make a server for an application; it serves when it is given a listener. Once it is to exit, what is under way
    has `drain` seconds."""
    return HttpServer(
        uvicorn.Config(
            app, http=Connection, ws="none", lifespan="off", interface="asgi3", log_config=None, access_log=False,
            server_header=False, proxy_headers=False, timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=math.ceil(drain),
        )
    )  # fmt: skip


def listen(host: str, port: int, write_deadline: float) -> socket.socket:
    """Listen on an address, port 0 for any; raises ListenError. Clients that stop reading for longer than the
    deadline are cut off by the kernel, for closing a connection politely waits until its last byte is read."""
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
            stack.pop_all()  # it is open, and stays so
            return listener
    except OSError as error:
        raise ListenError(f"cannot listen on {host}:{port}: is the port taken?") from error
