"""Creates, lists and revokes API keys for the command line, with SQL as the owner of the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row

from libs.identity.keys import NewKey, hash_key, new_key, parse_key_id

ROLES = ("viewer", "operator", "admin")
_CONNECT_SECONDS = 5

_INSERT = """
    insert into identity.api_keys (tenant_id, key_id, key_hash, role, name)
    values (%s, %s, %s, %s, %s)
    on conflict do nothing
"""
_LIST = """
    select tenant_id, key_id, role, name, created_at, expires_at, revoked_at
    from identity.api_keys
    order by tenant_id, created_at, key_id
"""
_REVOKE = "update identity.api_keys set revoked_at = now() where key_id = %s and revoked_at is null"
_IS_KNOWN = "select 1 from identity.api_keys where key_id = %s"
_OPENS = """
    select 1 from identity.api_keys
    where key_hash = %s and revoked_at is null and (expires_at is null or expires_at > now())
"""


@dataclass(frozen=True)
class StoredKey:
    """A stored key, without its secret."""

    tenant_id: str
    key_id: str
    role: str
    name: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class UnknownKeyError(LookupError):
    """There is no key with this id."""


@contextmanager
def connected(admin_url: str) -> Iterator[psycopg.Connection]:
    """Open a connection and commit at the end of the block; raises psycopg.OperationalError if it cannot connect."""
    with psycopg.connect(admin_url, connect_timeout=_CONNECT_SECONDS) as connection:
        yield connection


def create_key(connection: psycopg.Connection, tenant_id: str, role: str, name: str = "") -> NewKey:
    """Create a key for the tenant, and the tenant if it is new.

    Raises psycopg.errors.CheckViolation for a role or tenant id that the database rejects.
    """
    key = new_key()
    _store(connection, key, tenant_id, role, name)
    return key


def restore_key(connection: psycopg.Connection, text: str, tenant_id: str, role: str, name: str = "") -> bool:
    """Store a key that was created elsewhere, unless it is stored already; return whether it is valid.

    A revoked key stays revoked. Raises ValueError if the text is not a key.
    """
    key_id = parse_key_id(text)
    if key_id is None:
        raise ValueError("this is not an API key")
    _store(connection, NewKey(key_id, text, hash_key(text)), tenant_id, role, name)
    return connection.execute(_OPENS, [hash_key(text)]).fetchone() is not None


def list_keys(connection: psycopg.Connection) -> list[StoredKey]:
    """Return all keys of all tenants, sorted by tenant and age."""
    with connection.cursor(row_factory=class_row(StoredKey)) as cursor:
        return cursor.execute(_LIST).fetchall()


def revoke_key(connection: psycopg.Connection, key_id: str) -> bool:
    """Revoke a key; return False if it was revoked before. Raises UnknownKeyError."""
    if connection.execute(_REVOKE, [key_id]).rowcount:
        return True
    if connection.execute(_IS_KNOWN, [key_id]).fetchone() is None:
        raise UnknownKeyError(key_id)
    return False


def _store(connection: psycopg.Connection, key: NewKey, tenant_id: str, role: str, name: str) -> None:
    connection.execute("select session.ensure_tenant(%s)", [tenant_id])
    connection.execute(_INSERT, [tenant_id, key.key_id, key.key_hash, role, name])
