"""Named SQL: hot statements live in files beside the store that runs them."""

import re
from pathlib import Path

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


class Statement(str):
    """SQL that knows its name: its slice's and its own, as in `attempts.finish`."""

    name = ""


def _named(name: str, text: str) -> Statement:
    statement = Statement(text)
    statement.name = name
    return statement


def load_statements(path: Path) -> dict[str, Statement]:
    """Read a file of statements, each under a line `-- name: <name>`, into a dictionary by name."""
    scope = path.parent.name if path.stem == "queries" else path.stem
    parts = _NAME.split(path.read_text(encoding="utf-8"))
    named = zip(parts[1::2], parts[2::2], strict=True)
    return {name: _named(f"{scope}.{name}", body.strip().rstrip(";")) for name, body in named}
