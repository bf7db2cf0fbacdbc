"""Free TCP ports."""

import random
import socket

from libs.embedded.errors import EngineError

# Below what Linux (32768) and the IANA (49152) hand out for outgoing connections.
_FIRST, _LAST = 20_000, 32_000
_TRIES = 200
_held: list[socket.socket] = []  # for as long as this process lives


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Says whether a server could listen on the port now."""
    with _unbound(host) as probe:
        # connections that linger after an earlier server do not stop a new one
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port(host: str = "127.0.0.1", but_not: frozenset[int] = frozenset()) -> int:
    """Returns a port that nobody has, and keeps it for the children of this process until it ends.

    A child binds it seconds later, and again after each crash. A port that was only looked at could by then be
    another server's, or an outgoing connection's. Raises EngineError when none is found.
    """
    for _ in range(_TRIES):
        port = random.randint(_FIRST, _LAST)  # noqa: S311 - spreads neighbours apart, keeps no secret
        if port not in but_not and _hold(host, port):
            return port
    raise EngineError(f"no free port between {_FIRST} and {_LAST} on {host}")


def _hold(host: str, port: int) -> bool:
    """Binds the port without listening: whoever asks for it with SO_REUSEADDR, as servers do, still gets it."""
    holder = _unbound(host)
    try:
        with _unbound(host) as alone:
            alone.bind((host, port))  # without SO_REUSEADDR: fails on a port that another process holds
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((host, port))
    except OSError:
        holder.close()
        return False
    _held.append(holder)
    return True


def _unbound(host: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
