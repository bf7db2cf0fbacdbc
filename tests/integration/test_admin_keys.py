"""API keys in the real table: what is stored, and what revoking does."""

import hashlib
from pathlib import Path

import psycopg
import pytest

from libs.identity.admin import UnknownKeyError, connected, create_key, list_keys, restore_key, revoke_key
from libs.identity.keys import new_key
from services.cli.database import ensure_development_key
from services.cli.errors import CliError


def test_created_key_is_stored_only_as_its_hash(database_url: str) -> None:
    with connected(database_url) as connection:
        key = create_key(connection, "acme", "operator", "for the build")
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("select key_hash, k::text from identity.api_keys k").fetchall()
    assert [row[0] for row in rows] == [hashlib.sha256(key.secret_text.encode()).digest()]
    assert key.secret_text.split("_", 2)[2] not in str(rows)


def test_keys_are_listed_by_tenant(database_url: str) -> None:
    with connected(database_url) as connection:
        ids = [create_key(connection, tenant, "viewer").key_id for tenant in ("b", "a", "b")]
        listed = list_keys(connection)
    assert [(key.tenant_id, key.key_id) for key in listed] == [("a", ids[1]), ("b", ids[0]), ("b", ids[2])]


def test_key_can_be_revoked_once(database_url: str) -> None:
    with connected(database_url) as connection:
        key = create_key(connection, "acme", "viewer")
        assert revoke_key(connection, key.key_id)
        assert not revoke_key(connection, key.key_id)
        assert not restore_key(connection, key.secret_text, "acme", "viewer"), "it stays revoked"
        [stored] = list_keys(connection)
        assert stored.revoked_at is not None
        with pytest.raises(UnknownKeyError):
            revoke_key(connection, "aaaaaaaaaaaa")


def test_database_rejects_an_unknown_role(database_url: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation), connected(database_url) as connection:
        create_key(connection, "acme", "owner")


def test_development_key_is_stored_again_in_a_new_database(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "dev-key"
    path.write_text(new_key().secret_text)
    path.chmod(0o644)
    for _ in range(2):
        ensure_development_key(database_url, path)
    assert path.stat().st_mode & 0o777 == 0o600
    with connected(database_url) as connection:
        [stored] = list_keys(connection)
    assert (stored.tenant_id, stored.role) == ("default", "admin")
    assert path.read_text().startswith(f"cb_{stored.key_id}_")


def test_revoked_development_key_stays_revoked(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "dev-key"
    ensure_development_key(database_url, path)
    with connected(database_url) as connection:
        revoke_key(connection, list_keys(connection)[0].key_id)
    with pytest.raises(CliError, match="was revoked"):
        ensure_development_key(database_url, path)


def test_file_without_a_valid_key_is_not_used(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "dev-key"
    path.write_text("my notes")
    with pytest.raises(CliError, match="does not contain an API key"):
        ensure_development_key(database_url, path)
    assert path.read_text() == "my notes"
