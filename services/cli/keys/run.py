"""`callboard keys`: creates, lists and revokes API keys."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum

import psycopg
import typer

from libs.identity.admin import StoredKey, UnknownKeyError, connected, create_key, list_keys, revoke_key
from services.cli.database import database_of
from services.cli.errors import CliError

_TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_LONGEST_NAME = 200


class Role(StrEnum):
    """The role of a key. A viewer reads, an operator also runs agents, an admin also changes them."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


def create(tenant: str, role: Role, name: str) -> None:
    """Create a key and print it. It is not shown again."""
    if not _TENANT.fullmatch(tenant):
        raise CliError(f"--tenant: {tenant!r} must match {_TENANT.pattern}")
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise CliError(f"--name: at most {_LONGEST_NAME} printable characters")
    with _database() as connection:
        key = create_key(connection, tenant, role.value, name)
    typer.echo(key.secret_text)
    typer.echo(f"key {key.key_id}: {role.value} of {tenant}. It is not shown again.", err=True)


def show_all() -> None:
    """Print all keys, without their secrets."""
    with _database() as connection:
        keys = list_keys(connection)
    rows = [("KEY ID", "TENANT", "ROLE", "STATE", "CREATED", "NAME"), *(_row(key) for key in keys)]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def revoke(key_id: str) -> None:
    """Revoke a key."""
    try:
        with _database() as connection:
            changed = revoke_key(connection, key_id)
    except UnknownKeyError:
        raise CliError(f"no key has the id {key_id}; `callboard keys list` shows them") from None
    typer.echo(f"key {key_id} {'is revoked' if changed else 'was revoked before'}")


def _row(key: StoredKey) -> tuple[str, ...]:
    created = f"{key.created_at.astimezone(UTC):%Y-%m-%d %H:%M}Z"
    return key.key_id, key.tenant_id, key.role, _state(key, datetime.now(UTC)), created, key.name


def _state(key: StoredKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "valid"


@contextmanager
def _database() -> Iterator[psycopg.Connection]:
    try:
        with connected(database_of(os.environ)) as connection:
            yield connection
    except (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedTable) as error:
        raise CliError("the database has no Callboard schema yet: run `callboard migrate`") from error
    except psycopg.OperationalError as error:
        raise CliError(f"the database does not answer: {str(error).strip()}") from error
