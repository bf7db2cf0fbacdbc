"""Looks up keys in Postgres."""

from psycopg_pool import AsyncConnectionPool

from libs.db import Database
from libs.identity.authenticator import Lookup
from libs.identity.principal import KeyRecord

_FIND = """
    select tenant_id, key_id, key_hash, role, expires_at, revoked_at is not null as revoked
    from identity.api_keys
    where key_hash = %s
"""


def key_lookup(pool: AsyncConnectionPool) -> Lookup:
    """Return a lookup that uses the pool's connections, which must be in autocommit mode."""
    database = Database(pool)

    async def find(key_hash: bytes) -> KeyRecord | None:
        found = await database.records(KeyRecord, _FIND, [key_hash])
        return found[0] if found else None

    return find
