"""Inserts rows into a table with a primary key, with plain psycopg: one statement, one transaction."""

from collections.abc import Sequence
from uuid import uuid4

import psycopg

ONE = b"insert into bench.rows (tenant, id, body) values ('default', %s, %s)"
MANY = b"insert into bench.rows (tenant, id, body) select 'default', * from unnest(%s::uuid[], %s::text[])"


async def insert_one(connection: psycopg.AsyncConnection, body: str) -> None:
    """Insert a row and commit."""
    await connection.execute(ONE, (uuid4(), body), prepare=True)


async def insert_many(connection: psycopg.AsyncConnection, bodies: Sequence[str]) -> None:
    """Insert rows in one statement and commit."""
    await connection.execute(MANY, ([uuid4() for _ in bodies], list(bodies)), prepare=True)
