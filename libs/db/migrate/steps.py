"""Runs migrations that cannot run in a transaction: one statement at a time, resuming where an earlier run stopped.

A statement and the record that it is finished are two transactions. So only statements that can be run again are
allowed. An index is looked up first: a run that failed while building one leaves an invalid index behind.
"""

import re
from typing import Any

import psycopg

from libs.db.migrate.errors import SourceError
from libs.db.migrate.ledger import Ledger
from libs.db.migrate.sources import Migration

_CREATE = re.compile(r"create (?:unique )?index concurrently ([a-z_][a-z0-9_]*) on ([a-z_]+)\.[a-z_][a-z0-9_]*\b")
_REPEATABLE = re.compile(r"drop index concurrently if exists [a-z_]+\.[a-z_][a-z0-9_]*$|analyze\b|vacuum\b")
_IS_VALID = """
select i.indisvalid
from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
where n.nspname = %s and c.relname = %s
"""


def run_steps(connection: psycopg.Connection[Any], ledger: Ledger, migration: Migration) -> None:
    """Run the statements that are not finished yet, each in its own transaction. Raises `SourceError`."""
    check_steps(migration)
    # These statements take locks that let others read and write, so waiting behind a long transaction is harmless.
    connection.execute("set lock_timeout = 0")
    done = ledger.steps(migration)
    for step, statement in enumerate(migration.statements[done:], done + 1):
        _run(connection, statement)
        ledger.remember_step(migration, step)
    ledger.remember_migration(migration)


def check_steps(migration: Migration) -> None:
    """Raise `SourceError` if the migration has a statement that cannot be run again after a failed run."""
    for statement in migration.statements:
        text = " ".join(statement.lower().split())
        if not (_CREATE.match(text) or _REPEATABLE.match(text)):
            raise SourceError(
                f"migration {migration.name}: without a transaction, use only `create index concurrently <name> on"
                f" <schema>.<table>`, `drop index concurrently if exists <schema>.<name>`, `analyze` and `vacuum`, not"
                f" {text[:60]!r}"
            )


def _run(connection: psycopg.Connection[Any], statement: str) -> None:
    creates = _CREATE.match(" ".join(statement.lower().split()))
    if creates:
        index, schema = creates.groups()
        found = connection.execute(_IS_VALID, (schema, index)).fetchone()
        if found == (True,):
            return
        if found == (False,):
            connection.execute(f"drop index concurrently {schema}.{index}".encode())
    connection.execute(statement.encode())
