"""Runs one upgrade: the pending migrations, then the definitions that changed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from typing import Any

import psycopg

from libs.db.migrate.definitions import Definitions
from libs.db.migrate.ledger import Ledger
from libs.db.migrate.patience import LockPatience, in_transaction
from libs.db.migrate.sources import Migration, SchemaSources, read_definitions, read_migrations
from libs.db.migrate.steps import check_steps, run_steps

_LOCK = 0x43414C4C
_POLL_SECONDS = 0.1
# The server checks every second that the client is still connected, so that it ends the statement of a killed upgrade.
_OPTIONS = "-c client_connection_check_interval=1s -c statement_timeout=0 -c client_min_messages=warning"


def upgrade(url: str, sources: SchemaSources, patience: LockPatience | None = None) -> None:
    """Bring the database at `url` (`postgresql://...`) to the schema in `sources`. Does nothing if it is current.

    Safe to call from several processes at once. Raises `MigrationError`.
    """
    patience = patience or LockPatience()
    migrations, definitions = read_migrations(sources.migrations), read_definitions(sources.functions)
    for migration in migrations:
        if migration.is_without_transaction:
            check_steps(migration)
    with psycopg.connect(url, autocommit=True, options=_OPTIONS) as connection, _alone(connection):
        ledger = Ledger(connection)
        in_transaction(connection, patience, ledger.prepare)
        current = Definitions(connection, ledger, definitions, sources.grants)
        run = _Upgrade(connection, ledger, current, patience)
        run.migrate(ledger.pending(migrations))
        run.finish(sources.afterwards)


@contextmanager
def _alone(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Let one upgrade run in the database at a time.

    The others poll for the lock. A statement that waited for it inside the server would hold a snapshot, and `create
    index concurrently` in the running upgrade would wait for that snapshot.
    """
    while connection.execute("select pg_try_advisory_lock(%s)", (_LOCK,)).fetchone() != (True,):
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("select pg_advisory_unlock(%s)", (_LOCK,))


class _Upgrade:
    def __init__(
        self, connection: psycopg.Connection[Any], ledger: Ledger, definitions: Definitions, patience: LockPatience
    ) -> None:
        self._connection, self._ledger = connection, ledger
        self._definitions, self._patience = definitions, patience

    def migrate(self, pending: tuple[Migration, ...]) -> None:
        """Apply the migrations.

        Consecutive ones share a transaction where they can, and the last one adds the definitions.
        """
        rows = [(apart, list(row)) for apart, row in groupby(pending, lambda each: each.is_without_transaction)]
        last = rows.pop()[1] if rows and not rows[-1][0] else []
        for is_apart, row in rows:
            if is_apart:
                for migration in row:
                    run_steps(self._connection, self._ledger, migration)
            else:
                self._in_transaction(row, is_last=False)
        if last or not self._definitions.is_current():
            self._in_transaction(last, is_last=True)

    def finish(self, afterwards: tuple[str, ...]) -> None:
        """Run the statements that follow every upgrade."""
        for statement in afterwards:
            in_transaction(self._connection, self._patience, partial(self._connection.execute, statement.encode()))

    def _in_transaction(self, migrations: list[Migration], *, is_last: bool) -> None:
        def transaction() -> None:
            for migration in migrations:
                self._apply(migration)
            if is_last:
                self._definitions.apply_all()

        in_transaction(self._connection, self._patience, transaction)

    def _apply(self, migration: Migration) -> None:
        for script in migration.scripts:
            self._definitions.apply_for(script)
            self._connection.execute(script.encode())
        self._ledger.remember_migration(migration)
