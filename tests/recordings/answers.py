"""Reads, writes and compares recorded answers."""

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "answers"
_WIDTH = 118
_MOST_STEPS = 10
_AGAIN = "Run `python -m tests.recordings record` when the change is meant."


def file_of(area: str) -> Path:
    """The file of an area's answers."""
    return FOLDER / f"{area.replace('/', '_')}.json"


def read_answers(area: str) -> dict[str, Any]:
    """Reads the recorded answers of an area; empty if there are none."""
    file = file_of(area)
    return dict(json.loads(file.read_text())) if file.exists() else {}


def write_answers(area: str, answers: Mapping[str, Any]) -> None:
    """Records the answers of an area."""
    file_of(area).write_text(to_text(answers) + "\n")


def differences(recorded: Mapping[str, Any], played: Mapping[str, Any]) -> str:
    """The differences between answers and the recorded ones, step by step; empty if there are none."""
    found = [
        _difference(name, recorded.get(name), played.get(name))
        for name in sorted({*recorded, *played})
        if json.dumps(recorded.get(name), sort_keys=True) != json.dumps(played.get(name), sort_keys=True)
    ]
    if not found:
        return ""
    more = [f"... and {len(found) - _MOST_STEPS} more steps"] if len(found) > _MOST_STEPS else []
    return "\n\n".join([*found[:_MOST_STEPS], *more, _AGAIN])


def _difference(name: str, recorded: Any, played: Any) -> str:
    if recorded is None:
        return f"step {name!r} has no recorded answer:\n{to_text(played)}"
    if played is None:
        return f"step {name!r} was recorded and is not played any more"
    lines = difflib.unified_diff(
        to_text(recorded).splitlines(), to_text(played).splitlines(), "recorded", "played", lineterm=""
    )
    return f"step {name!r} differs:\n" + "\n".join(lines)


def to_text(value: Any, indent: int = 0) -> str:
    """Writes JSON with sorted keys. Values that fit are on one line."""
    line = json.dumps(value, sort_keys=True, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value or (indent and len(line) + indent <= _WIDTH):
        return line
    inner = " " * (indent + 1)
    if isinstance(value, dict):
        parts = [f"{inner}{json.dumps(key)}: {to_text(value[key], indent + 1)}" for key in sorted(value)]
        return "{\n" + ",\n".join(parts) + "\n" + " " * indent + "}"
    return "[\n" + ",\n".join(inner + to_text(item, indent + 1) for item in value) + "\n" + " " * indent + "]"
