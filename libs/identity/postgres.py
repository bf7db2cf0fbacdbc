"""Looks up keys in Postgres."""

from pathlib import Path

from psycopg_pool import AsyncConnectionPool

from libs.db import Database, load_statements
from libs.identity.authenticator import Lookup
from libs.identity.principal import KeyRecord

_SQL = load_statements(Path(__file__).with_name("queries.sql"))


def key_lookup(pool: AsyncConnectionPool) -> Lookup:
    """Return a lookup that uses the pool's connections, which must be in autocommit mode."""
    database = Database(pool)

    async def find(key_hash: bytes) -> KeyRecord | None:
        found = await database.records(KeyRecord, _SQL["find"], [key_hash])
        return found[0] if found else None

    return find
