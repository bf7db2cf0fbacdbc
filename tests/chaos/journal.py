"""Histories as files: one JSON object a line, appended as it happens, read back whole."""

import itertools
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

Row = dict[str, Any]


class Journal:
    """One file of lines; each gets `time`, seconds of the machine's monotonic clock, the same in all processes."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("a", encoding="utf-8", buffering=1)

    def note(self, **fields: Any) -> None:
        """Appends a line."""
        if not self._file.closed:
            self._file.write(json.dumps({"time": time.monotonic(), **fields}) + "\n")

    def close(self) -> None:
        """Closes the file; what is noted later is dropped."""
        self._file.close()


class Operations:
    """What clients asked and what they heard: `invoke`, then `ok`, `fail` (refused, nothing done) or `info` (unknown).

    A line: {time, op, kind, phase, ...}; the lines of one operation share `op`.
    """

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)
        self._numbers = itertools.count(1)

    def invoke(self, kind: str, **fields: Any) -> int:
        """Notes that an operation begins; returns its number."""
        number = next(self._numbers)
        self._journal.note(op=number, kind=kind, phase="invoke", **fields)
        return number

    def complete(self, number: int, kind: str, phase: str, **fields: Any) -> None:
        """Notes how it ended."""
        self._journal.note(op=number, kind=kind, phase=phase, **fields)

    def close(self) -> None:
        """Closes the file."""
        self._journal.close()


def read_rows(path: Path) -> list[Row]:
    """All whole lines of a file, none when there is no file: a killed writer may leave half a line behind."""
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
    """Writes a file of lines anew."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, default=str) + "\n" for row in rows)
