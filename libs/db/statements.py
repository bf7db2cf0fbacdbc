"""Named SQL: hot statements live in files beside the store that runs them."""

import re
from pathlib import Path

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_statements(path: Path) -> dict[str, str]:
    """Read a file of statements, each under a line `-- name: <name>`, into a dictionary by name."""
    parts = _NAME.split(path.read_text(encoding="utf-8"))
    return {name: body.strip().rstrip(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)}
