"""A saved run for the checker: the recorded histories and the rows of the tables."""

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.chaos.journal import Row, read_rows

ENDED = {"command.completed": "succeeded", "command.failed": "failed", "command.cancelled": "cancelled"}
CLOSING = {"session.stopped", "session.failed", "session.completed", "session.timed_out"}
TERMINAL = set(ENDED.values())


@dataclass(frozen=True)
class Violation:
    """A violation of a rule, with a description."""

    rule: str
    text: str


Rule = Callable[["History"], list[str]]
"""Returns a line for each violation."""


class History:
    """The files of one run, read on demand."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def rows(self, name: str) -> list[Row]:
        """Return the lines of one file."""
        return read_rows(self._folder / f"{name}.jsonl")

    @cached_property
    def end(self) -> Row:
        """The end of the run."""
        file = self._folder / "end.json"
        found: Row = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        return found

    @cached_property
    def commands(self) -> dict[str, Row]:
        """The commands by id."""
        return {row["command_id"]: row for row in self.rows("commands")}

    @cached_property
    def events(self) -> list[Row]:
        """All events, by partition, in the order of their positions."""
        return sorted(self.rows("events"), key=lambda row: (row["tenant_id"], row["partition"], row["position"]))

    @cached_property
    def by_session(self) -> dict[str, list[Row]]:
        """The events of each session, in the order of their positions."""
        return _grouped(self.events, "session_id")

    @cached_property
    def by_command(self) -> dict[str, list[Row]]:
        """The events of each command in the order of their positions, without callers' own events."""
        events = [event for event in self.events if event["command_id"] and event["type"].startswith("command.")]
        return _grouped(events, "command_id")

    @cached_property
    def attempts(self) -> dict[str, list[Row]]:
        """The attempts of each command, by number."""
        return _grouped(sorted(self.rows("attempts"), key=lambda row: row["attempt"]), "command_id")

    @cached_property
    def effects(self) -> list[Row]:
        """The effects that the tools recorded."""
        return self.rows("effects")

    @cached_property
    def operations(self) -> list[Row]:
        """The operations, one row each: the request with `phase`, `began`, `ended` and `answer`."""
        begun: dict[int, Row] = {}
        for line in self.rows("operations"):
            if line["phase"] == "invoke":
                begun[line["op"]] = {**line, "phase": "info", "began": line["time"], "ended": None, "answer": {}}
            elif line["op"] in begun:
                begun[line["op"]].update(phase=line["phase"], ended=line["time"], answer=line)
        return list(begun.values())

    def invoked(self, *kinds: str, phase: str = "") -> list[Row]:
        """Return the operations of these kinds, with this outcome if one is given."""
        return [row for row in self.operations if row["kind"] in kinds and phase in ("", row["phase"])]


def _grouped(rows: list[Row], by: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[by]].append(row)
    return dict(found)


def payload(event: Row) -> dict[str, Any]:
    """Return an event's payload, or an empty one if it was cut."""
    try:
        found: dict[str, Any] = json.loads(event["payload"])
    except ValueError:
        return {}
    return found
