"""Histories as files: one JSON object a line, appended as things happen."""

import itertools
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

Row = dict[str, Any]


class Journal:
    """A file of lines. Each gets `time`, the seconds of the machine's monotonic clock, which all processes share."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("a", encoding="utf-8", buffering=1)

    def note(self, **fields: Any) -> None:
        """Append a line."""
        if not self._file.closed:
            self._file.write(json.dumps({"time": time.monotonic(), **fields}) + "\n")

    def close(self) -> None:
        """Close the file. Later lines are dropped."""
        self._file.close()


class Operations:
    """Records calls and their outcomes: `invoke`, then `ok`, `fail` (rejected, nothing done) or `info` (unknown).

    A line: {time, op, kind, phase, ...}; the lines of one operation share `op`.
    """

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)
        self._numbers = itertools.count(1)

    def invoke(self, kind: str, **fields: Any) -> int:
        """Record that an operation begins. Returns its number."""
        number = next(self._numbers)
        self._journal.note(op=number, kind=kind, phase="invoke", **fields)
        return number

    def complete(self, number: int, kind: str, phase: str, **fields: Any) -> None:
        """Record how an operation ended."""
        self._journal.note(op=number, kind=kind, phase=phase, **fields)

    def close(self) -> None:
        """Close the file."""
        self._journal.close()


def read_rows(path: Path) -> list[Row]:
    """Return the complete lines of a file. A killed writer may leave half a line; a missing file has no lines."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write a file of lines, replacing an existing one."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, default=str) + "\n" for row in rows)
