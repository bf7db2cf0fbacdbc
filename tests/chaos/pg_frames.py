"""The part of Postgres' wire protocol that shows which statement a client runs and when its reply is complete."""

import struct
from collections.abc import Iterator

_UNTYPED = {80877103, 80877104}  # SSLRequest and GSSENCRequest: the startup message follows


class ClientStatements:
    """Reads the client's side of a connection, and finds the statement of each Execute or Query.

    It keeps prepared statements by name and the last bound portal.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._started = False
        self._sql: dict[bytes, str] = {}
        self._bound = ""

    def feed(self, data: bytes) -> list[str]:
        """Return the texts of the statements that these bytes run."""
        self._buffer += data
        return [sql for kind, body in self._messages() if (sql := self._run(kind, body))]

    def _run(self, kind: bytes, body: bytes) -> str:
        if kind == b"Q":
            return body.rstrip(b"\0").decode("utf-8", "replace")
        if kind == b"P":
            name, sql = body.split(b"\0", 2)[:2]
            self._sql[name] = sql.decode("utf-8", "replace")
        elif kind == b"B":
            name = body.split(b"\0", 2)[1]
            self._bound = self._sql.get(name, "")
        elif kind == b"E":
            return self._bound
        return ""

    def _messages(self) -> Iterator[tuple[bytes, bytes]]:
        while True:
            head = 1 if self._started else 0
            if len(self._buffer) < head + 4:
                return
            (length,) = struct.unpack_from("!I", self._buffer, head)
            if len(self._buffer) < head + length:
                return
            kind, body = self._buffer[:head], self._buffer[head + 4 : head + length]
            self._buffer = self._buffer[head + length :]
            if self._started:
                yield kind, body
            elif struct.unpack_from("!I", body)[0] not in _UNTYPED:
                self._started = True


def ends_with_ready(reply: bytes) -> bool:
    """Report whether the reply ends with ReadyForQuery (idle), which means that the statement has committed."""
    return reply.endswith(b"Z\0\0\0\x05I")
