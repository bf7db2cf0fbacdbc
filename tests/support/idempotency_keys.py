"""A store of idempotency keys, and the database behind it."""

from collections.abc import AsyncIterator

import psycopg
import pytest

from libs.db import Database
from libs.idempotency import IdempotencyKey, PostgresKeys

TENANT = "acme"
KEY = IdempotencyKey("work", "k", b"one request")
OTHER = IdempotencyKey("work", "k", b"another request")


@pytest.fixture
async def keys(app_database_url: str) -> AsyncIterator[PostgresKeys]:
    async with Database.opened(app_database_url, role="callboard_command", name="command", size=4) as database:
        yield PostgresKeys(database)


@pytest.fixture
async def admin(database_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        yield connection


async def scalar(admin: psycopg.AsyncConnection, statement: str) -> object:
    row = await (await admin.execute(statement.encode())).fetchone()
    assert row is not None
    return row[0]
