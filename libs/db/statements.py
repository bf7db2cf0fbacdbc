"""Named SQL: statements live in files beside the store that runs them."""

import re
from collections.abc import Sequence
from pathlib import Path

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COLUMNS = re.compile(r"\$(\w+)\((\w+)\)")


class Statement(str):
    """SQL text with the name of its slice and its own, such as `attempts.finish`."""

    name = ""


def _named(name: str, text: str) -> Statement:
    statement = Statement(text)
    statement.name = name
    return statement


def load_statements(path: Path, **columns: Sequence[str]) -> dict[str, Statement]:
    """Return the statements of a file by name. Each follows a line `-- name: <name>`.

    `$session(s)` in a statement stands for the columns given as `session`, each of the table or alias `s`: a record's
    fields are listed once, in its dataclass. Raises KeyError for a list that was not given.
    """
    scope = path.parent.name if path.stem == "queries" else path.stem
    text = _COLUMNS.sub(
        lambda found: ", ".join(f"{found[2]}.{name}" for name in columns[found[1]]), path.read_text(encoding="utf-8")
    )
    parts = _NAME.split(text)
    named = zip(parts[1::2], parts[2::2], strict=True)
    return {name: _named(f"{scope}.{name}", body.strip().rstrip(";")) for name, body in named}
