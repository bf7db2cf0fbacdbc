"""Named SQL: statements live in files beside the store that runs them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_REFERENCE = re.compile(r"\$(\w+)(?:\((\w+)\))?")


class Statement(str):
    """SQL text with the name of its slice and its own, such as `attempts.finish`."""

    name = ""
    _optional: Sequence[tuple[str, str]] = ()

    @classmethod
    def of(cls, name: str, text: str) -> "Statement":
        """Return the statement of a text, whose lines may end with `-- if <parameter>`."""
        statement = cls(text)
        statement.name = name
        lines = [line.rpartition(" -- if ") for line in text.splitlines()]
        if any(mark for _, mark, _ in lines):
            statement._optional = [(head, tail) if mark else (tail, "") for head, mark, tail in lines]
        return statement

    def given(self, parameters: Sequence[Any] | Mapping[str, Any]) -> str:
        """Return the text without the lines whose parameter is None or empty.

        Postgres makes a plan for each set of filters, because each is another text. Raises KeyError for an optional
        parameter that is missing.
        """
        if not self._optional:
            return self
        if not isinstance(parameters, Mapping):
            raise TypeError(f"{self.name} has optional lines: its parameters need names")
        return "\n".join(line for line, name in self._optional if not name or parameters[name])


def _column(table: str, name: str) -> str:
    column, _, attribute = name.partition(".")
    return f"({table}.{column}).{attribute}" if attribute else f"{table}.{column}"


def load_statements(path: Path, **columns: Sequence[str]) -> dict[str, Statement]:
    """Return the statements of a file by name. Each follows a line `-- name: <name>`.

    `$session(s)` in a statement stands for the columns given as `session`, each of the table or alias `s`: a record's
    fields are listed once, in its dataclass. A column `options.timeout_ms` is an attribute of a composite column.
    `$matching` stands for the text of the statement `matching` above it. A line that ends with `-- if <parameter>` is
    optional; see `Statement.given`. Raises KeyError for a list of columns or a text that does not exist.
    """
    scope = path.parent.name if path.stem == "queries" else path.stem
    parts = _NAME.split(path.read_text(encoding="utf-8"))
    statements: dict[str, Statement] = {}

    def referenced(found: re.Match[str]) -> str:
        name, alias = found.groups()
        return ", ".join(_column(alias, column) for column in columns[name]) if alias else statements[name]

    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        text = _REFERENCE.sub(referenced, body.strip().rstrip(";"))
        statements[name] = Statement.of(f"{scope}.{name}", text)
    return statements
