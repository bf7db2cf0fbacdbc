"""A pool of connections that act in one role."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import structlog
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

from libs.db.errors import UNREACHABLE, BusyError, database_unavailable, is_retryable
from libs.db.queries import Queries, Transaction

_log = structlog.get_logger(__name__)
_GUARDS = (
    "-c lock_timeout=1s -c idle_in_transaction_session_timeout=2s -c statement_timeout=30s"
    # When a client stops reading, its backend blocks on the write while it holds locks. No other timeout fires then
    # (rule 5).
    " -c tcp_user_timeout=5s"
)
# A connection makes its plans once, perhaps while a table is empty. These settings make it choose the plans for a full
# table. Planning the batched statements each time costs more than running them.
_PLANS = "-c jit=off -c enable_seqscan=off -c plan_cache_mode=force_generic_plan"
# The pool doubles the pause between two reconnects: after an hour without the database, the next one could be an hour
# away. So it gives up after this time. The next request for a connection then starts over, and requests never cease.
_RECONNECT_SECONDS = 2.0
_RESTED_SECONDS = 0.25
# These notice within seconds that a server vanished without closing its connections (failures, row 20).
_KEEPALIVES = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # milliseconds
}


class _Connection(psycopg.AsyncConnection[tuple[Any, ...]]):
    """A connection that remembers when it last answered."""

    answered_at = 0.0


class _Stack(deque[Any]):
    """A queue that lends what was returned last."""

    def popleft(self) -> Any:
        """Take the newest: its backend has made its plans, and its memory is warm."""
        return self.pop()


class _Pool(AsyncConnectionPool):
    """Lends the connection that was used last. psycopg's own pool lends them in turn.

    A quiet service then works with one warm connection instead of eight cold ones. `_pool` is private to psycopg_pool;
    `test_database_pool` fails if it changes.
    """

    def __init__(self, conninfo: str, **options: Any) -> None:
        super().__init__(conninfo, **options)
        self._pool = _Stack()


async def _is_alive(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Return whether a connection still works. One that answered a moment ago is not tested."""
    if isinstance(connection, _Connection) and time.monotonic() - connection.answered_at < _RESTED_SECONDS:
        return True
    try:
        await connection.execute("")
    except psycopg.OperationalError:
        return False
    return True


class Database(Queries):
    """Runs single statements, each in its own transaction (rule 5: a slow client must not hold a lock).

    Every method raises `ServiceError(DATABASE_UNAVAILABLE)` when the database cannot be reached; the outcome of a write
    is then unknown. A statement that a transient error rolled back raises `BusyError`. That is a `ServiceError` too, so
    that a lock timeout ends no background loop. Other database errors pass through.
    """

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self.pool = pool

    @classmethod
    def of(cls, url: str, *, role: str, name: str, size: int) -> "Database":
        """Return a closed pool of at most `size` connections to `url` that act as `role`. Open it with `open`."""
        conninfo = make_conninfo(
            url, options=f"-c role={role} {_GUARDS} {_PLANS}", application_name=name, **_KEEPALIVES
        )
        pool = _Pool(
            conninfo, min_size=min(4, size), max_size=size, open=False, timeout=5, kwargs={"autocommit": True},
            reconnect_timeout=_RECONNECT_SECONDS, name=name, connection_class=_Connection,
        )  # fmt: skip
        return cls(pool)

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str, *, role: str, name: str, size: int) -> AsyncIterator["Database"]:
        """Hold a pool open while the block runs; see `of`."""
        database = cls.of(url, role=role, name=name, size=size)
        await database.open()
        try:
            yield database
        finally:
            await database.close()

    async def open(self) -> None:
        """Start connecting. The pool keeps trying while the database is away."""
        await self.pool.open(wait=False)

    async def close(self) -> None:
        """Close all connections. Those in use finish their statement first."""
        await self.pool.close(timeout=5)

    async def is_up(self) -> bool:
        """Return whether the database answers."""
        try:
            async with self.pool.connection(timeout=2) as connection:
                await connection.execute("select 1")
        except UNREACHABLE:
            return False
        return True

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Run several statements in one transaction. They lock what they touch until the block ends: keep it short."""
        async with self.connection() as connection, connection.transaction():
            yield Transaction(connection)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """Lend a connection, in autocommit mode."""
        task = asyncio.current_task()
        cancels = task.cancelling() if task else 0
        try:
            connection = await self._lend()
            try:
                async with connection:
                    yield connection
                if isinstance(connection, _Connection):
                    connection.answered_at = time.monotonic()
            finally:
                await self.pool.putconn(connection)
        except UNREACHABLE as error:
            if is_retryable(error):  # a deadlock or a lock timeout is an OperationalError too
                raise BusyError from error
            _log.warning("database_unavailable", error=type(error).__name__, sqlstate=getattr(error, "sqlstate", None))
            raise database_unavailable() from error
        # The pool and the driver use wait_for. In Python 3.11 it loses a cancellation that arrives together with its
        # result. Without this check, a cancelled loop would run forever.
        if task and task.cancelling() > cancels:
            raise asyncio.CancelledError

    async def _lend(self) -> psycopg.AsyncConnection:
        """Take a live connection. A restart of the database leaves dead ones in the pool, and each would fail one call.

        The pool's own check waits for more than a second after each dead connection.
        """
        for _ in range(self.pool.max_size):
            connection = await self.pool.getconn()
            try:
                if await _is_alive(connection):
                    return connection
            except BaseException:  # a cancellation; nothing else would return the connection
                await self.pool.putconn(connection)
                raise
            await self.pool.putconn(connection)  # it is closed, so the pool replaces it
        return await self.pool.getconn()
