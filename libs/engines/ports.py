"""Free TCP ports."""

import random
import socket

from libs.engines.errors import EngineError

# Below what Linux (32768) and the IANA (49152) hand out for outgoing connections, so that nobody is given the
# port between our look and the child's bind.
_FIRST, _LAST = 20_000, 32_000
_TRIES = 200


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Says whether a server could listen on the port now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # connections that linger after an earlier server do not stop a new one
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port(host: str = "127.0.0.1", but_not: frozenset[int] = frozenset()) -> int:
    """Returns a port that nobody listens on; raises EngineError when none is found."""
    for _ in range(_TRIES):
        port = random.randint(_FIRST, _LAST)  # noqa: S311 - spreads neighbours apart, keeps no secret
        if port not in but_not and is_free(port, host):
            return port
    raise EngineError(f"no free port between {_FIRST} and {_LAST} on {host}")
