"""The checks of all SQL."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from libs.db.migrate import SourceError
from libs.db.migrate.sources import names_in, read_definitions, read_migrations
from services.cli.schema import schema_sources
from tools.sql.catalog import Catalog
from tools.sql.generated import DOMAINS, ROOT, STATES, enums, generated
from tools.sql.states import Check, undeclared

_COMMENT = re.compile(r"--[^\n]*")
_IN_MIGRATION = re.compile(r"^create (?:table|type) ([a-z_]+\.[a-z0-9_]+)", re.MULTILINE)
_LITERAL = re.compile(r"'[^']*'")
_SCHEMAS = {"session", "command", "identity", "idempotency"}


def problems() -> Iterator[str]:
    """Yield the problems of all SQL, each with its file."""
    for path, text in generated().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield f"{_shown(path)} is stale: run make sql"
    yield from misplaced(ROOT, set(schema_sources().functions))
    try:
        known = _known_names()
    except SourceError as error:
        yield str(error)
        return
    texts = {path: path.read_text(encoding="utf-8") for path in _all_sql() if path not in generated()}
    for path, text in texts.items():
        yield from (f"{_shown(path)} {problem}" for problem in name_problems(text, known))
    yield from state_problems({_shown(path): text for path, text in texts.items()})


def state_problems(texts: Mapping[str, str]) -> Iterator[str]:
    """Yield the unknown states and codes in files by name, and the lists of states that are written by hand."""
    catalog, domains = Catalog(), enums(DOMAINS)
    states = {name: kind for name, kind in domains.items() if kind in STATES}
    for path, text in texts.items():
        for relation, column in catalog.add(text):
            for problem in undeclared(relation, column.name, column.type, domains):
                yield f"{path}:{column.line}: {problem}"
    for path, text in texts.items():
        schema = Path(path).parts[1] if len(Path(path).parts) > 1 else ""
        yield from (f"{path}:{problem}" for problem in Check(catalog, domains, states, schema).problems(text))


def _known_names() -> set[str]:
    """Return the functions and types, and the tables and types of the migrations."""
    scripts = [script for one in read_migrations(schema_sources().migrations) for script in one.scripts]
    created = {name for script in scripts for name in _IN_MIGRATION.findall(script)}
    return created | {definition.name for definition in read_definitions(schema_sources().functions)}


def name_problems(text: str, known: set[str]) -> Iterator[str]:
    """Yield the names in our schemas that nothing defines: Postgres would find them only when the function runs."""
    used = {name for name in names_in(_LITERAL.sub("''", _COMMENT.sub("", text))) if name.split(".")[0] in _SCHEMAS}
    for name in sorted(used - known):
        yield f"uses {name}, which no file defines"


def _all_sql() -> list[Path]:
    return sorted(path for folder in ("services", "libs") for path in (ROOT / folder).rglob("*.sql"))


def misplaced(root: Path, applied: set[Path]) -> Iterator[str]:
    """Yield the SQL files that nothing applies or reads. `applied` holds the folders of functions."""
    for path in sorted(path for folder in ("services", "libs") for path in (root / folder).rglob("*.sql")):
        relative = path.relative_to(root)
        shown, is_ours = relative.as_posix(), relative.parts[:3] != ("libs", "db", "migrations")
        if path.parent.name == "functions":
            depth = 5 if relative.parts[0] == "services" else 4
            if len(relative.parts) != depth or not (path.parent.parent / "__init__.py").exists():
                yield f"{shown} is in no slice or library: move it to functions/ of a slice or library"
            elif path.parent not in applied:
                yield f"{shown} is not applied: services/cli/schema.py does not name its folder"
        elif is_ours and path.name not in ("queries.sql", "grants.sql"):
            yield f"{shown} is neither a function, nor queries.sql, nor grants.sql"


def _shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()
