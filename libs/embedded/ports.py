"""Free TCP ports."""

import random
import socket

from libs.embedded.errors import EngineError

# Below the ports for outgoing connections on Linux (from 32768) and by IANA (from 49152).
_FIRST, _LAST = 20_000, 32_000
_TRIES = 200
_held: list[socket.socket] = []  # until this process ends


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether a server could listen on the port now."""
    with _unbound(host) as probe:
        # connections that linger from an earlier server do not block a new one
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port(host: str = "127.0.0.1", but_not: frozenset[int] = frozenset()) -> int:
    """Return a free port and reserve it for the children of this process until the process ends.

    A child binds the port seconds later, and again after each crash. Without the reservation another process could
    take it meanwhile. Raises EngineError if no port is free.
    """
    for _ in range(_TRIES):
        port = random.randint(_FIRST, _LAST)  # noqa: S311 - keeps parallel runs apart, needs no secrecy
        if port not in but_not and _hold(host, port):
            return port
    raise EngineError(f"no free port between {_FIRST} and {_LAST} on {host}")


def _hold(host: str, port: int) -> bool:
    """Bind the port without listening. Servers use SO_REUSEADDR and can still bind it."""
    holder = _unbound(host)
    try:
        with _unbound(host) as alone:
            alone.bind((host, port))  # without SO_REUSEADDR this fails if another process holds the port
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((host, port))
    except OSError:
        holder.close()
        return False
    _held.append(holder)
    return True


def _unbound(host: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
