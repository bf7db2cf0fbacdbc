"""Bringing a database to this version's schema."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from libs.db.migrate import NewerSchemaError, upgrade
from tests.support.engines import TestPostgres


@pytest.fixture
def empty_url(postgres: TestPostgres) -> Iterator[str]:
    """A database without anything in it."""
    name = sql.Identifier(f"test_{uuid4().hex}")
    with psycopg.connect(postgres.admin_url, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(name))
        yield postgres.admin_url_of(name.as_string().strip('"'))
        connection.execute(sql.SQL("drop database {} with (force)").format(name))


def rows(url: str, query: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


async def test_several_migrations_at_once_make_one_schema(empty_url: str) -> None:
    await asyncio.gather(*(asyncio.to_thread(upgrade, empty_url) for _ in range(3)))
    assert len(rows(empty_url, "select version_num from schema_version")) == 1
    assert rows(empty_url, "select count(*) from session.events") == [(0,)]


def test_a_second_migration_changes_nothing_and_keeps_the_data(database_url: str) -> None:
    rows(database_url, "select session.ensure_tenant('acme')")
    before = rows(database_url, "select * from session.log order by part")
    upgrade(database_url)
    upgrade(database_url)
    assert rows(database_url, "select * from session.log order by part") == before


def test_a_database_that_a_newer_version_wrote_is_refused_and_left_alone(database_url: str) -> None:
    [(known,)] = rows(database_url, "select version_num from schema_version")
    rows(database_url, "update schema_version set version_num = '9999'")
    with pytest.raises(NewerSchemaError, match="9999") as caught:
        upgrade(database_url)
    assert caught.value.found == "9999"
    assert rows(database_url, "select version_num from schema_version") == [("9999",)]
    # The lock is given back: whoever migrates next does not wait for ever.
    with psycopg.connect(database_url) as connection:
        connection.execute("update schema_version set version_num = %s", [known])
    upgrade(database_url)


def test_a_migration_that_fails_leaves_nothing_behind(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows(empty_url, "create schema command")  # in the way of the fifth script
    with pytest.raises(Exception, match="command"):
        upgrade(empty_url)
    assert rows(empty_url, "select count(*) from pg_namespace where nspname = 'session'") == [(0,)]
    rows(empty_url, "drop schema command")
    upgrade(empty_url)
    assert rows(empty_url, "select count(*) from session.sessions") == [(0,)]
