"""Named SQL: hot statements live in files beside the store that runs them."""

import re
from pathlib import Path

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


class Statement(str):
    """SQL that knows its name: its file's, without the ending, and its own in there, as in `work.finish`."""

    name = ""


def _named(name: str, text: str) -> Statement:
    statement = Statement(text)
    statement.name = name
    return statement


def load_statements(path: Path) -> dict[str, Statement]:
    """Read a file of statements, each under a line `-- name: <name>`, into a dictionary by name."""
    parts = _NAME.split(path.read_text(encoding="utf-8"))
    named = zip(parts[1::2], parts[2::2], strict=True)
    return {name: _named(f"{path.stem}.{name}", body.strip().rstrip(";")) for name, body in named}
