"""Reads the effects of a run while the tools record them."""

import json
from pathlib import Path

from tests.chaos.journal import Row


class Effects:
    """The lines of an effects file. Each query first reads the new lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._found: dict[tuple[str, int, str], Row] = {}

    def line(self, command_id: str, attempt: int, phase: str) -> Row | None:
        """Return the line of an attempt and a phase (start, end, cancelled), or None if there is none yet."""
        self._read()
        return self._found.get((command_id, attempt, phase))

    def last(self, command_id: str, phase: str) -> Row | None:
        """Return the last line of a command in this phase, of any attempt: a command that was claimed while its agent
        was being reconnected starts in a later attempt."""
        self._read()
        rows = [row for (id_, _, recorded), row in self._found.items() if (id_, recorded) == (command_id, phase)]
        return rows[-1] if rows else None

    @property
    def all(self) -> list[Row]:
        """Every line, one for each attempt and phase."""
        self._read()
        return list(self._found.values())

    def _read(self) -> None:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            whole = file.read().rpartition(b"\n")[0]
        self._offset += len(whole) + bool(whole)
        for line in whole.splitlines():
            row = json.loads(line)
            self._found[row["commandId"], int(row["attempt"]), row["phase"]] = row
