"""Newline-delimited JSON-RPC, as servers really write it: banners, broken text, endless lines."""

import json
import re
from collections.abc import Iterator
from typing import Any

from mcp_types import JSONRPCMessage, jsonrpc_message_adapter

from services.runner.executors.mcp.results import json_safe

MAX_LINE = 32 * 1024 * 1024
"""Bytes. Four times the largest result, since JSON may escape what the result holds plain."""

RESULT_TOO_LONG = -32099
"""Code of the error that stands for an answer too long to be read; JSON-RPC leaves it to implementations."""

_EDGE = 512
# SDKs write the id first (Python) or last (TypeScript), so either end of an answer tells whose it is.
_ID_FIRST = re.compile(rb'^\s*\{\s*"jsonrpc"\s*:\s*"2\.0"\s*,\s*"id"\s*:\s*(\d{1,15})\s*,\s*"result"')
_ID_LAST = re.compile(rb'"id"\s*:\s*(\d{1,15})\s*\}\s*$')


class LineSplitter:
    """Cuts chunks into lines; one over `limit` bytes is dropped as it arrives, but for its ends."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._partitions: list[bytes] = []
        self._length = 0

    def feed(self, chunk: bytes) -> Iterator[bytes | JSONRPCMessage]:
        """Yield each complete line, or the error answer that stands for one that was too long."""
        *complete, rest = chunk.split(b"\n")
        for piece in complete:
            self._keep(piece)
            yield self._take()
        self._keep(rest)

    def _keep(self, piece: bytes) -> None:
        self._length += len(piece)
        self._partitions.append(piece)
        if self._length > self._limit:
            whole = b"".join(self._partitions)
            self._partitions = [whole[:_EDGE], whole[-_EDGE:]]

    def _take(self) -> bytes | JSONRPCMessage:
        line, too_long = b"".join(self._partitions), self._length > self._limit
        self._partitions, self._length = [], 0
        return _stand_in(line) if too_long else line


def _stand_in(ends: bytes) -> bytes | JSONRPCMessage:
    found = _ID_FIRST.search(ends) or _ID_LAST.search(ends)
    if found is None:
        return b"(a line that was too long)"
    error = {"code": RESULT_TOO_LONG, "message": f"the answer is longer than {MAX_LINE} bytes"}
    return jsonrpc_message_adapter.validate_python({"jsonrpc": "2.0", "id": int(found[1]), "error": error})


def parse(line: bytes) -> JSONRPCMessage | None:
    """Return the message of a line, or None when it holds none."""
    # Most of what is no message is seen here, for a thousandth of what the parser's error costs.
    if not line.lstrip().startswith(b"{"):
        return None
    try:
        return jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValueError:
        return _parse_leniently(line)


def _parse_leniently(line: bytes) -> JSONRPCMessage | None:
    """Parse a line whose text is broken: bytes that are no UTF-8, halves of surrogate pairs."""
    try:
        document: Any = json.loads(line.decode("utf-8", "replace"))
        return jsonrpc_message_adapter.validate_python(json_safe(document), by_name=False)
    except (ValueError, RecursionError):
        return None
