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
    """The files of the schema.

    `migrations` holds one file or folder for each numbered migration. `functions` are folders with one function or type
    in each file. `grants` are files that say who may call the functions; they are run again after each change.
    `afterwards` are statements that every upgrade ends with.
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
        """The hash that tells whether an applied migration was edited."""
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
    """A function or type, with the text of its file."""

    name: str
    kind: str
    text: str

    @cached_property
    def checksum(self) -> str:
        """The hash that tells whether the definition changed. In a type, comments and spaces do not count."""
        return _checksum(_without_layout(self.text) if self.kind == "type" else self.text)

    @property
    def is_function(self) -> bool:
        """Whether it is a function or procedure, which Postgres replaces in place."""
        return self.kind in ("function", "procedure")

    def statements(self, *, is_known: bool) -> tuple[str, ...]:
        """Return the statements to run. A domain that exists is not created again: only its constraint is replaced."""
        return split(self.text)[1:] if is_known and self.kind == "domain" else (self.text,)

    @cached_property
    def mentions(self) -> frozenset[str]:
        """The qualified names in its text."""
        return names_in(self.text)


def _without_layout(text: str) -> str:
    return _SPACE.sub(r"\1", " ".join(without_comments(text).split()))


def names_in(text: str) -> frozenset[str]:
    """Return the qualified names in SQL, except those in comments, also inside a function's body."""
    return frozenset(_NAME.findall(_COMMENT.sub("", text)))


def read_migrations(folder: Path) -> tuple[Migration, ...]:
    """Read the migrations in their order. Raises `SourceError` when a number is missing or repeated."""
    found = sorted(path for path in folder.iterdir() if path.suffix == ".sql" or _NUMBERED.match(path.name))
    migrations = tuple(_migration(path) for path in found)
    for number, migration in enumerate(migrations, 1):
        if int(migration.name[:4]) != number:
            raise SourceError(f"migration {migration.name} should have the number {number:04}")
    return migrations


def _migration(path: Path) -> Migration:
    if not _NUMBERED.match(path.stem):
        raise SourceError(f"{path.name}: name a migration like 0002_what_it_does.sql")
    files = sorted(path.glob("*.sql")) if path.is_dir() else [path]
    if not files:
        raise SourceError(f"migration {path.name} has no .sql file")
    scripts = tuple(file.read_text(encoding="utf-8") for file in files)
    if len(scripts) > 1 and any(is_without_transaction(script) for script in scripts):
        raise SourceError(f"migration {path.name}: a migration without a transaction must be a single file")
    migration = Migration(path.stem, scripts)
    if migration.is_without_transaction and not migration.statements:
        raise SourceError(f"migration {path.name} has no statement")
    return migration


def read_definitions(folders: tuple[Path, ...]) -> tuple[Definition, ...]:
    """Read the functions and types, each after those that its text names. Raises `SourceError`."""
    found: dict[str, Definition] = {}
    for path in (path for folder in folders for path in sorted(folder.glob("*.sql"))):
        definition = _definition(path)
        if definition.name in found:
            raise SourceError(f"{path}: another file also defines {definition.name}")
        found[definition.name] = definition
    return _in_order(found)


def _definition(path: Path) -> Definition:
    text = path.read_text(encoding="utf-8")
    creates = _CREATES.findall(text)
    if len(creates) != 1:
        raise SourceError(f"{path}: a file must define one function or type; this one defines {len(creates)}")
    kind, schema, name = creates[0]
    if name != path.stem:
        raise SourceError(f"{path}: the file of {schema}.{name} must be named {name}.sql")
    return Definition(f"{schema}.{name}", kind, text)


def _in_order(found: dict[str, Definition]) -> tuple[Definition, ...]:
    done: dict[str, Definition] = {}
    path: list[str] = []

    def add(name: str) -> None:
        if name in done:
            return
        if name in path:
            raise SourceError(f"these definitions depend on each other: {', '.join([*path[path.index(name) :], name])}")
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
