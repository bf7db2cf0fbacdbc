"""The files that make up the schema, read and checked before the database is touched."""

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from libs.db.migrate.errors import SourceError
from libs.db.migrate.statements import is_without_transaction, split, without_comments

_NUMBERED = re.compile(r"^(\d{4})_[a-z0-9_]+$")
_CREATES = re.compile(
    r"^create (?:or replace )?(function|procedure|type|domain) ([a-z_]+)\.([a-z0-9_]+)\b", re.MULTILINE
)
_SPACE = re.compile(r" ?([(),;]) ?")
_COMMENT = re.compile(r"--[^\n]*")
_NAME = re.compile(r"\b[a-z_]+\.[a-z0-9_]+\b")


@dataclass(frozen=True)
class SchemaSources:
    """Where the schema is written down.

    `migrations` holds one file or folder for each numbered migration. `functions` are folders with one function or type
    to a file. `grants` are files that say who may call them, run again after each change. `afterwards` are statements
    that end every upgrade.
    """

    migrations: Path
    functions: tuple[Path, ...] = ()
    grants: tuple[Path, ...] = ()
    afterwards: tuple[str, ...] = ()


@dataclass(frozen=True)
class Migration:
    """A numbered change of tables, indexes or data."""

    name: str
    scripts: tuple[str, ...]

    @cached_property
    def checksum(self) -> str:
        """What an applied migration is recognised by."""
        return _checksum(*self.scripts)

    @property
    def is_without_transaction(self) -> bool:
        """Whether its statements run one by one, each outside a transaction."""
        return is_without_transaction(self.scripts[0])

    @property
    def statements(self) -> tuple[str, ...]:
        """The statements of a migration without a transaction."""
        return split(self.scripts[0])


@dataclass(frozen=True)
class Definition:
    """A function or type, as its file has it."""

    name: str
    kind: str
    text: str

    @cached_property
    def checksum(self) -> str:
        """What an applied definition is recognised by; in a type, comments and spaces do not count."""
        return _checksum(_without_layout(self.text) if self.kind == "type" else self.text)

    @property
    def is_function(self) -> bool:
        """Whether it is a function, which Postgres replaces in place."""
        return self.kind in ("function", "procedure")

    def statements(self, *, is_known: bool) -> tuple[str, ...]:
        """Return what to run: all of it, but for a known domain only what follows its creation, its constraint."""
        return split(self.text)[1:] if is_known and self.kind == "domain" else (self.text,)

    @cached_property
    def mentions(self) -> frozenset[str]:
        """The qualified names in its text."""
        return names_in(self.text)


def _without_layout(text: str) -> str:
    return _SPACE.sub(r"\1", " ".join(without_comments(text).split()))


def names_in(text: str) -> frozenset[str]:
    """Return the qualified names in SQL, those in comments left out, also in the comments of a function's body."""
    return frozenset(_NAME.findall(_COMMENT.sub("", text)))


def read_migrations(folder: Path) -> tuple[Migration, ...]:
    """Read the migrations in their order; raises `SourceError` when the numbers have a gap or a repetition."""
    found = sorted(path for path in folder.iterdir() if path.suffix == ".sql" or _NUMBERED.match(path.name))
    migrations = tuple(_migration(path) for path in found)
    for number, migration in enumerate(migrations, 1):
        if int(migration.name[:4]) != number:
            raise SourceError(f"migration {migration.name} should have the number {number:04}")
    return migrations


def _migration(path: Path) -> Migration:
    if not _NUMBERED.match(path.stem):
        raise SourceError(f"{path.name}: a migration is named like 0002_what_it_does.sql")
    files = sorted(path.glob("*.sql")) if path.is_dir() else [path]
    if not files:
        raise SourceError(f"migration {path.name} has no file")
    scripts = tuple(file.read_text(encoding="utf-8") for file in files)
    if len(scripts) > 1 and any(is_without_transaction(script) for script in scripts):
        raise SourceError(f"migration {path.name}: what runs without a transaction is a migration of one file")
    migration = Migration(path.stem, scripts)
    if migration.is_without_transaction and not migration.statements:
        raise SourceError(f"migration {path.name} has no statement")
    return migration


def read_definitions(folders: tuple[Path, ...]) -> tuple[Definition, ...]:
    """Read the functions and types, each after those that its text names; raises `SourceError`."""
    found: dict[str, Definition] = {}
    for path in (path for folder in folders for path in sorted(folder.glob("*.sql"))):
        definition = _definition(path)
        if definition.name in found:
            raise SourceError(f"{path}: another file defines {definition.name} too")
        found[definition.name] = definition
    return _in_order(found)


def _definition(path: Path) -> Definition:
    text = path.read_text(encoding="utf-8")
    creates = _CREATES.findall(text)
    if len(creates) != 1:
        raise SourceError(f"{path}: a file defines one function or type, and this one defines {len(creates)}")
    kind, schema, name = creates[0]
    if name != path.stem:
        raise SourceError(f"{path}: the file of {schema}.{name} is named {name}.sql")
    return Definition(f"{schema}.{name}", kind, text)


def _in_order(found: dict[str, Definition]) -> tuple[Definition, ...]:
    done: dict[str, Definition] = {}
    path: list[str] = []

    def add(name: str) -> None:
        if name in done:
            return
        if name in path:
            raise SourceError(f"these need each other: {', '.join([*path[path.index(name) :], name])}")
        path.append(name)
        for other in sorted((found[name].mentions & found.keys()) - {name}):
            add(other)
        path.pop()
        done[name] = found[name]

    for name in sorted(found):
        add(name)
    return tuple(done.values())


def _checksum(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
