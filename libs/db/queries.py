"""Runs statements, with a pool or in a transaction."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar, cast

import psycopg
from psycopg.rows import AsyncRowFactory, tuple_row

from libs.db.records import record_row
from libs.db.statements import Statement
from libs.failpoints import failpoint

_Row = TypeVar("_Row")
Parameters = Sequence[Any] | Mapping[str, Any]


class Queries(ABC):
    """Runs statements on connections from `connection`."""

    @abstractmethod
    def connection(self) -> AbstractAsyncContextManager[psycopg.AsyncConnection]:
        """Lend a connection for the block."""

    async def records(self, kind: type[_Row], statement: str, parameters: Parameters = ()) -> list[_Row]:
        """Run a statement and return its rows as instances of the dataclass `kind`, columns by name."""
        factory = cast(AsyncRowFactory[_Row], record_row(kind))
        async with self.connection() as connection, connection.cursor(row_factory=factory) as cursor:
            await _execute(cursor, statement, parameters)
            return await cursor.fetchall()

    async def values(self, statement: str, parameters: Parameters = ()) -> list[Any]:
        """Run a statement of one column and return its values; an empty list when it returns no rows."""
        async with self.connection() as connection, connection.cursor(row_factory=tuple_row) as cursor:
            await _execute(cursor, statement, parameters)
            return [value for (value,) in await cursor.fetchall()] if cursor.description else []

    async def changed(self, statement: str, parameters: Parameters = ()) -> int:
        """Run a statement and return how many rows it changed."""
        async with self.connection() as connection, connection.cursor() as cursor:
            await _execute(cursor, statement, parameters)
            return cursor.rowcount


class Transaction(Queries):
    """Runs statements in the transaction of one connection; see `Database.transaction`."""

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._connection = connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """Lend the connection of the transaction."""
        yield self._connection


async def _execute(cursor: psycopg.AsyncCursor[Any], statement: str, parameters: Parameters) -> None:
    """Run a statement. When this returns, its rows have arrived, and outside a transaction it has committed."""
    if not isinstance(statement, Statement):
        await cursor.execute(statement.encode(), parameters)
        return
    await cursor.execute(statement.given(parameters).encode(), parameters)
    failpoint(statement.name, _reply_lost)


def _reply_lost() -> Exception:
    return psycopg.OperationalError("a failpoint: the connection broke before the answer")
