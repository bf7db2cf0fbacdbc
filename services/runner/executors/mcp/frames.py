"""Newline-delimited JSON-RPC as servers write it in practice: with banners, broken text and endless lines."""

import json
import re
from collections.abc import Iterator
from typing import Any

from mcp_types import JSONRPCMessage, jsonrpc_message_adapter

from services.runner.executors.mcp.results import json_safe

MAX_LINE = 32 * 1024 * 1024
"""Bytes. Four times the largest result, because JSON may escape characters of the result."""

RESULT_TOO_LONG = -32099
"""The error code for an answer that is too long to read, from the range that JSON-RPC reserves for implementations."""

_EDGE = 512
# SDKs write the id first (Python) or last (TypeScript), so one of the two ends of an answer identifies its request.
_ID_FIRST = re.compile(rb'^\s*\{\s*"jsonrpc"\s*:\s*"2\.0"\s*,\s*"id"\s*:\s*(\d{1,15})\s*,\s*"result"')
_ID_LAST = re.compile(rb'"id"\s*:\s*(\d{1,15})\s*\}\s*$')


class LineSplitter:
    """Splits chunks into lines. Of a line over `limit` bytes, only the two ends are kept."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._length = 0

    def feed(self, chunk: bytes) -> Iterator[bytes | JSONRPCMessage]:
        """Yield each complete line, or an error answer in place of an answer that is too long."""
        *complete, rest = chunk.split(b"\n")
        for piece in complete:
            self._append(piece)
            yield self._pop_line()
        self._append(rest)

    def _append(self, piece: bytes) -> None:
        self._length += len(piece)
        self._pieces.append(piece)
        if self._length > self._limit:
            whole = b"".join(self._pieces)
            self._pieces = [whole[:_EDGE], whole[-_EDGE:]]

    def _pop_line(self) -> bytes | JSONRPCMessage:
        line, too_long = b"".join(self._pieces), self._length > self._limit
        self._pieces, self._length = [], 0
        return _too_long_error(line) if too_long else line


def _too_long_error(ends: bytes) -> bytes | JSONRPCMessage:
    found = _ID_FIRST.search(ends) or _ID_LAST.search(ends)
    if found is None:
        return b"(a line that was too long)"
    error = {"code": RESULT_TOO_LONG, "message": f"the answer is longer than {MAX_LINE} bytes"}
    return jsonrpc_message_adapter.validate_python({"jsonrpc": "2.0", "id": int(found[1]), "error": error})


def parse(line: bytes) -> JSONRPCMessage | None:
    """Return the message in a line, or None if the line is not a message."""
    # This check finds most lines that are not messages, at a thousandth of the cost of a parser error.
    if not line.lstrip().startswith(b"{"):
        return None
    try:
        return jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValueError:
        return _parse_leniently(line)


def _parse_leniently(line: bytes) -> JSONRPCMessage | None:
    """Parse a line with broken text: invalid UTF-8 or lone surrogates."""
    try:
        document: Any = json.loads(line.decode("utf-8", "replace"))
        return jsonrpc_message_adapter.validate_python(json_safe(document), by_name=False)
    except (ValueError, RecursionError):
        return None
