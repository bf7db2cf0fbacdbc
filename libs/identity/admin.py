"""Creates, lists and revokes API keys for the command line, with SQL as the owner of the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg
from psycopg.rows import class_row

from libs.db import load_statements
from libs.identity.keys import NewKey, hash_key, new_key, parse_key_id

ROLES = ("viewer", "operator", "admin")
_CONNECT_SECONDS = 5
_SQL = load_statements(Path(__file__).with_name("queries.sql"))


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
    return _rows(connection, "valid", hash_key(text)) == 1


def list_keys(connection: psycopg.Connection) -> list[StoredKey]:
    """Return all keys of all tenants, sorted by tenant and age."""
    with connection.cursor(row_factory=class_row(StoredKey)) as cursor:
        return cursor.execute(_SQL["all"].encode()).fetchall()


def revoke_key(connection: psycopg.Connection, key_id: str) -> bool:
    """Revoke a key; return False if it was revoked before. Raises UnknownKeyError."""
    if _rows(connection, "revoke", key_id):
        return True
    if not _rows(connection, "known", key_id):
        raise UnknownKeyError(key_id)
    return False


def _store(connection: psycopg.Connection, key: NewKey, tenant_id: str, role: str, name: str) -> None:
    _rows(connection, "ensure_tenant", tenant_id)
    _rows(connection, "insert", tenant_id, key.key_id, key.key_hash, role, name)


def _rows(connection: psycopg.Connection, name: str, *values: str | bytes) -> int:
    """Run a statement, and return how many rows it found or changed."""
    return connection.execute(_SQL[name].encode(), values).rowcount
