"""The database's own record of its schema: applied migrations, applied definitions, and finished steps."""

from typing import Any

import psycopg

from libs.db.migrate.errors import EditedMigrationError, NewerSchemaError, OldSchemaError
from libs.db.migrate.sources import Definition, Migration

_TABLES = """
create schema if not exists callboard;
create table if not exists callboard.migrations (
  name       text primary key,
  checksum   text not null,
  applied_at timestamptz not null default clock_timestamp()
);
create table if not exists callboard.definitions (
  name       text primary key,
  checksum   text not null,
  applied_at timestamptz not null default clock_timestamp()
);
-- The finished statements of migrations that run outside a transaction.
create table if not exists callboard.steps (
  migration text not null,
  step      integer not null,
  primary key (migration, step)
);
"""
_REMEMBER = """
insert into callboard.{table} (name, checksum) values (%s, %s)
on conflict (name) do update set checksum = excluded.checksum, applied_at = clock_timestamp()
"""
_FORGET_DROPPED = """
delete from callboard.definitions d where position('.' in d.name) > 0
  and not exists (select from pg_proc p join pg_namespace n on n.oid = p.pronamespace
                  where n.nspname || '.' || p.proname = d.name)
  and not exists (select from pg_type t join pg_namespace n on n.oid = t.typnamespace
                  where n.nspname || '.' || t.typname = d.name)
"""


class Ledger:
    """The tables in the schema `callboard`. Every method runs in the caller's transaction, if there is one."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def prepare(self) -> None:
        """Create the tables. Raises `OldSchemaError` for a database from before the baseline."""
        if self._connection.execute("select to_regclass('public.schema_version')").fetchone() != (None,):
            raise OldSchemaError
        self._connection.execute(_TABLES)

    def pending(self, migrations: tuple[Migration, ...]) -> tuple[Migration, ...]:
        """Return the migrations to apply. Raises `NewerSchemaError` and `EditedMigrationError`."""
        applied = self._checksums("migrations")
        known = {migration.name: migration for migration in migrations}
        newest = migrations[-1].name
        for name, checksum in sorted(applied.items()):
            if name not in known:
                raise NewerSchemaError(name, newest) if name[:4] > newest[:4] else EditedMigrationError(name)
            if known[name].checksum != checksum:
                raise EditedMigrationError(name)
        return migrations[len(applied) :]

    def definitions(self) -> dict[str, str]:
        """Return the checksums of the applied definitions, by name."""
        return self._checksums("definitions")

    def remember_migration(self, migration: Migration) -> None:
        """Record that a migration is applied."""
        self._connection.execute(_REMEMBER.format(table="migrations").encode(), (migration.name, migration.checksum))

    def remember_definition(self, name: str, checksum: str) -> None:
        """Record that a definition is applied."""
        self._connection.execute(_REMEMBER.format(table="definitions").encode(), (name, checksum))

    def forget_dropped(self) -> None:
        """Delete the records of definitions that a migration dropped."""
        self._connection.execute(_FORGET_DROPPED)

    def steps(self, migration: Migration) -> int:
        """Return how many statements of a migration without a transaction are finished."""
        query = "select count(*) from callboard.steps where migration = %s"
        row = self._connection.execute(query, (migration.name,)).fetchone()
        return int(row[0]) if row else 0

    def remember_step(self, migration: Migration, step: int) -> None:
        """Record that a statement of a migration without a transaction is finished."""
        insert = "insert into callboard.steps (migration, step) values (%s, %s)"
        self._connection.execute(insert, (migration.name, step))

    def _checksums(self, table: str) -> dict[str, str]:
        query = f"select name, checksum from callboard.{table}"  # noqa: S608 - one of two names
        return dict(self._connection.execute(query.encode()).fetchall())


def needs_apply(definition: Definition, applied: dict[str, str]) -> bool:
    """Return whether the database lacks the definition or has another text of it."""
    return applied.get(definition.name) != definition.checksum
