"""What the tools of a run have noted so far, read as it grows."""

import json
from pathlib import Path

from tests.chaos.journal import Row


class Effects:
    """The lines of one file of effects; each look reads what has come since the last one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._found: dict[tuple[str, int, str], Row] = {}

    def line(self, command_id: str, attempt: int, phase: str) -> Row | None:
        """What was noted of an attempt in this phase (start, end, cancelled), None while there is nothing."""
        self._read()
        return self._found.get((command_id, attempt, phase))

    def last(self, command_id: str, phase: str) -> Row | None:
        """What was noted last of a command in this phase, in whatever attempt: one that was claimed while its agent
        was being connected anew begins in a later one."""
        self._read()
        rows = [row for (id_, _, noted), row in self._found.items() if (id_, noted) == (command_id, phase)]
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
