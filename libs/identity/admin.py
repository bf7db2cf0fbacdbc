"""Making, listing and revoking API keys, for the command line: plain SQL as the database's owner."""

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
    """What is known of a key; its secret is not."""

    tenant_id: str
    key_id: str
    role: str
    name: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class UnknownKeyError(LookupError):
    """No key has this id."""


@contextmanager
def connected(admin_url: str) -> Iterator[psycopg.Connection]:
    """A connection, its work committed at the end; raises psycopg.OperationalError when nobody answers."""
    with psycopg.connect(admin_url, connect_timeout=_CONNECT_SECONDS) as connection:
        yield connection


def create_key(connection: psycopg.Connection, tenant_id: str, role: str, name: str = "") -> NewKey:
    """Makes a key for the tenant, and the tenant when it is new.

    Raises psycopg.errors.CheckViolation for a role or a tenant id that the database refuses.
    """
    key = new_key()
    _store(connection, key, tenant_id, role, name)
    return key


def restore_key(connection: psycopg.Connection, text: str, tenant_id: str, role: str, name: str = "") -> bool:
    """Stores a key that exists as a text already, unless it is stored; says whether it opens anything.

    A key that was revoked stays revoked. Raises ValueError when the text is no key.
    """
    key_id = parse_key_id(text)
    if key_id is None:
        raise ValueError("this is no key of ours")
    _store(connection, NewKey(key_id, text, hash_key(text)), tenant_id, role, name)
    return connection.execute(_OPENS, [hash_key(text)]).fetchone() is not None


def list_keys(connection: psycopg.Connection) -> list[StoredKey]:
    """Returns all keys of all tenants, by tenant and age."""
    with connection.cursor(row_factory=class_row(StoredKey)) as cursor:
        return cursor.execute(_LIST).fetchall()


def revoke_key(connection: psycopg.Connection, key_id: str) -> bool:
    """Takes a key its power; False when that was done before. Raises UnknownKeyError."""
    if connection.execute(_REVOKE, [key_id]).rowcount:
        return True
    if connection.execute(_IS_KNOWN, [key_id]).fetchone() is None:
        raise UnknownKeyError(key_id)
    return False


def _store(connection: psycopg.Connection, key: NewKey, tenant_id: str, role: str, name: str) -> None:
    connection.execute("select session.ensure_tenant(%s)", [tenant_id])
    connection.execute(_INSERT, [tenant_id, key.key_id, key.key_hash, role, name])
