"""Looking up API keys in Postgres with the rights of the services."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from libs.db import Database
from libs.errors import Reason, ServiceError
from libs.identity.admin import create_key, revoke_key
from libs.identity.authenticator import Authenticator
from libs.identity.keys import NewKey, new_key
from libs.identity.postgres import key_lookup


@pytest.fixture(params=["callboard_session", "callboard_command"])
async def database(request: pytest.FixtureRequest, app_database_url: str) -> AsyncIterator[Database]:
    """A pool in the role of each service that looks up keys."""
    pool = Database.of(app_database_url, role=request.param, name="test", size=2)
    await pool.open()
    yield pool
    await pool.close()


def stored_key(url: str, role: str) -> NewKey:
    with psycopg.connect(url) as connection:
        return create_key(connection, "acme", role)


def revoke(url: str, key_id: str) -> None:
    with psycopg.connect(url) as connection:
        revoke_key(connection, key_id)


async def test_stored_key_is_found_until_it_is_revoked(database: Database, database_url: str) -> None:
    key = await asyncio.to_thread(stored_key, database_url, "operator")
    find = key_lookup(database.pool)
    record = await find(key.key_hash)
    assert record
    assert (record.tenant_id, record.key_id, record.role, record.revoked) == ("acme", key.key_id, "operator", False)
    assert (await Authenticator(find).authenticate(key.secret_text)).tenant_id == "acme"
    await asyncio.to_thread(revoke, database_url, key.key_id)
    with pytest.raises(ServiceError) as caught:
        await Authenticator(find).authenticate(key.secret_text)
    assert caught.value.reason is Reason.CREDENTIALS_INVALID


async def test_unknown_key_is_not_found(database: Database) -> None:
    assert await key_lookup(database.pool)(new_key().key_hash) is None


async def test_no_key_is_accepted_while_the_database_is_down(database: Database) -> None:
    await database.close()
    with pytest.raises(ServiceError) as caught:
        await Authenticator(key_lookup(database.pool)).authenticate(new_key().secret_text)
    assert caught.value.reason is Reason.DATABASE_UNAVAILABLE


def test_stored_hash_cannot_authenticate(database_url: str) -> None:
    key = stored_key(database_url, "admin")
    with psycopg.connect(database_url) as connection:
        row = connection.execute("select * from identity.api_keys").fetchone()
    assert key.secret_text.split("_", 2)[2] not in repr(row)
