"""How a migration waits for locks: for a short time at each try, and for a long time in all."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import structlog

from libs.db.errors import is_retryable
from libs.db.migrate.errors import LockedSchemaError

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class LockPatience:
    """Limits in seconds: `lock` for one wait for a lock, `first` and `longest` for the pauses, `total` for everything.

    While a migration waits for a table's lock, every later query of that table queues behind it. So the wait ends after
    `lock`, and the pause lets the queries through.
    """

    lock: float = 2.0
    first: float = 0.5
    longest: float = 15.0
    total: float = 600.0


def in_transaction(connection: psycopg.Connection[Any], patience: LockPatience, work: Callable[[], object]) -> None:
    """Run `work` in a transaction, again until it gets its locks. Raises `LockedSchemaError` after `total` seconds."""
    deadline = time.monotonic() + patience.total
    pause = patience.first
    while True:
        try:
            with connection.transaction():
                connection.execute(f"set local lock_timeout = '{patience.lock * 1000:.0f}ms'".encode())
                work()
            return
        except psycopg.OperationalError as error:
            if not is_retryable(error):
                raise
            detail = str(error).splitlines()[0]
            if time.monotonic() >= deadline:
                raise LockedSchemaError(patience.total, detail) from error
            _log.warning("migration_waits_for_a_lock", pause=pause, detail=detail)
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
        pause = min(pause * 2, patience.longest)
