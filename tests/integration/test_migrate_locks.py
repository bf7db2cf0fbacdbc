"""How a migration waits for locks, and how an interrupted one is resumed."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from libs.db.migrate import LockedSchemaError, LockPatience, SchemaSources, upgrade
from tests.support.engines import TestPostgres
from tests.support.eventually import eventually

ROOT = Path(__file__).parents[2]
QUICK = LockPatience(lock=0.2, first=0.1, longest=0.2, total=30.0)
INDEX = "-- callboard: no transaction\ncreate index concurrently items_by_id on box.items (id);\nanalyze box.items;"
_UPGRADE = """
import sys
from pathlib import Path
from libs.db.migrate import SchemaSources, upgrade
upgrade(sys.argv[1], SchemaSources(Path(sys.argv[2])))
"""


@pytest.fixture
def url(postgres: TestPostgres) -> Iterator[str]:
    """An empty database."""
    name = sql.Identifier(f"test_{uuid4().hex}")
    with psycopg.connect(postgres.admin_url, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(name))
        yield postgres.admin_url_of(name.as_string().strip('"'))
        connection.execute(sql.SQL("drop database {} with (force)").format(name))


@pytest.fixture
def sources(tmp_path: Path, url: str) -> SchemaSources:
    """Sources whose first migration, a table with a row, is already applied."""
    text = "create schema box; create table box.items (id integer); insert into box.items values (1);"
    (tmp_path / "0001_first.sql").write_text(text)
    found = SchemaSources(tmp_path)
    upgrade(url, found)
    return found


def rows(url: str, query: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


@contextmanager
def holding(url: str, statement: str) -> Iterator[psycopg.Connection[Any]]:
    """Keeps a transaction with one statement open, and rolls it back at the end."""
    with psycopg.connect(url, options="-c default_transaction_isolation=repeatable\\ read") as connection:
        connection.execute(statement.encode())
        yield connection


@contextmanager
def upgrading(url: str, sources: SchemaSources, patience: LockPatience = QUICK) -> Iterator[threading.Thread]:
    """Runs an upgrade in a thread, and waits at the end until it has finished."""
    thread = threading.Thread(target=upgrade, args=(url, sources, patience))
    thread.start()
    yield thread
    thread.join(30)
    assert not thread.is_alive()


async def waits(url: str, query: str) -> bool:
    """Whether a backend with such a query waits for a lock."""
    activity = f"select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '{query}%'"  # noqa: S608
    return bool(await asyncio.to_thread(rows, url, activity))


async def test_migration_that_waits_for_a_lock_does_not_block_queries(url: str, sources: SchemaSources) -> None:
    (sources.migrations / "0002_more.sql").write_text("alter table box.items add column word text;")
    with holding(url, "select * from box.items") as reader, upgrading(url, sources):
        for _ in range(3):
            await eventually(lambda: waits(url, "alter table"))
            # A reader waits for one try of the migration, and not for the long transaction.
            assert await asyncio.wait_for(asyncio.to_thread(rows, url, "select id from box.items"), 10) == [(1,)]
        assert rows(url, "select count(*) from information_schema.columns where column_name = 'word'") == [(0,)]
        reader.rollback()
    assert rows(url, "select word from box.items") == [(None,)]


def test_migration_that_never_gets_its_lock_fails_and_changes_nothing(url: str, sources: SchemaSources) -> None:
    text = "create table box.more (); alter table box.items add column word text;"
    (sources.migrations / "0002_more.sql").write_text(text)
    with (
        holding(url, "select * from box.items"),
        pytest.raises(LockedSchemaError, match=r"changed nothing.*end the long transaction"),
    ):
        upgrade(url, sources, replace(QUICK, total=0.5))
    assert rows(url, "select to_regclass('box.more')") == [(None,)]
    upgrade(url, sources)
    assert rows(url, "select word from box.items") == [(None,)]


PARTITION = "create table if not exists box.parts_1 partition of box.parts for values in (1)"


async def test_last_statement_that_waits_for_a_lock_does_not_block_queries(url: str, sources: SchemaSources) -> None:
    text = "create table box.parts (id integer) partition by list (id);"
    (sources.migrations / "0002_parts.sql").write_text(text)
    upgrade(url, sources)
    finished = replace(sources, afterwards=(PARTITION,))
    with holding(url, "select * from box.parts") as reader, upgrading(url, finished):
        for _ in range(3):
            await eventually(lambda: waits(url, "create table if not exists box.parts_1"))
            assert await asyncio.wait_for(asyncio.to_thread(rows, url, "select id from box.parts"), 10) == []
        assert rows(url, "select to_regclass('box.parts_1')") == [(None,)]
        reader.rollback()
    assert rows(url, "select to_regclass('box.parts_1')::text") == [("box.parts_1",)]


def test_last_statement_has_a_lock_timeout_after_a_step_without_a_transaction(url: str, sources: SchemaSources) -> None:
    (sources.migrations / "0002_step.sql").write_text("-- callboard: no transaction\nanalyze box.items;")
    setting = "create table box.setting as select current_setting('lock_timeout') as value"
    upgrade(url, replace(sources, afterwards=(setting,)), QUICK)
    assert rows(url, "select value from box.setting") == [("200ms",)]


async def test_upgrade_waits_for_its_own_tables_with_a_lock_timeout(url: str, sources: SchemaSources) -> None:
    rows(url, "drop table callboard.steps")  # as an upgrade from a release without it
    with holding(url, "create table callboard.steps ()"), pytest.raises(LockedSchemaError):
        upgrade(url, sources, replace(QUICK, total=0.5))
    upgrade(url, sources)
    assert rows(url, "select count(*) from callboard.steps") == [(0,)]


def is_valid(url: str) -> list[Any]:
    return rows(url, "select indisvalid from pg_index where indexrelid = to_regclass('box.items_by_id')")


async def has_half_an_index(url: str) -> bool:
    return await asyncio.to_thread(is_valid, url) == [(False,)]


async def test_killed_migration_is_resumed_and_its_invalid_index_recreated(url: str, sources: SchemaSources) -> None:
    (sources.migrations / "0002_index.sql").write_text(INDEX)
    with holding(url, "select * from box.items"):  # its snapshot keeps the index from becoming valid
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _UPGRADE, url, str(sources.migrations), cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        await eventually(lambda: has_half_an_index(url))
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await eventually(lambda: nobody_migrates(url))
        [(broken,)] = rows(url, "select to_regclass('box.items_by_id')::oid")
    assert is_valid(url) == [(False,)]
    upgrade(url, sources)
    assert is_valid(url) == [(True,)]
    assert rows(url, "select to_regclass('box.items_by_id')::oid") != [(broken,)]
    assert rows(url, "select name from callboard.migrations order by 1") == [("0001_first",), ("0002_index",)]


async def nobody_migrates(url: str) -> bool:
    held = "select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where"
    return await asyncio.to_thread(rows, url, f"{held} datname = current_database())") == [(0,)]


async def test_second_migration_waits_for_the_first_without_delaying_it(url: str, sources: SchemaSources) -> None:
    (sources.migrations / "0002_index.sql").write_text(INDEX)
    with holding(url, "select * from box.items") as reader, upgrading(url, sources), upgrading(url, sources):
        await eventually(lambda: has_half_an_index(url))
        reader.rollback()
    assert is_valid(url) == [(True,)]
    assert rows(url, "select count(*) from callboard.steps") == [(2,)]


def test_completed_step_is_not_run_again(url: str, sources: SchemaSources) -> None:
    (sources.migrations / "0002_index.sql").write_text(INDEX)
    rows(url, "create index items_by_id on box.items (id)")  # as if the run had ended before it recorded the step
    [before] = rows(url, "select to_regclass('box.items_by_id')::oid")
    upgrade(url, sources)
    assert rows(url, "select to_regclass('box.items_by_id')::oid") == [before]


def test_migrations_before_a_step_are_kept_when_it_fails(url: str, sources: SchemaSources) -> None:
    (sources.migrations / "0002_more.sql").write_text("create table box.more (id integer);")
    step = sources.migrations / "0003_index.sql"
    step.write_text("-- callboard: no transaction\ncreate index concurrently more_by_id on box.more (nothing);")
    with pytest.raises(psycopg.errors.UndefinedColumn):
        upgrade(url, sources)
    assert rows(url, "select to_regclass('box.more')::text") == [("box.more",)]
    step.write_text(step.read_text().replace("nothing", "id"))
    upgrade(url, sources)
    assert rows(url, "select to_regclass('box.more_by_id')::text") == [("box.more_by_id",)]


def test_lost_connection_ends_the_migration_without_a_retry(url: str, sources: SchemaSources) -> None:
    text = "create table box.more ();\nselect pg_terminate_backend(pg_backend_pid());"
    (sources.migrations / "0002_more.sql").write_text(text)
    with pytest.raises(psycopg.OperationalError, match="terminating connection"):
        upgrade(url, sources)
    assert rows(url, "select to_regclass('box.more')") == [(None,)]


def test_migrations_after_a_step_wait_for_it(url: str, sources: SchemaSources) -> None:
    (sources.migrations / "0002_index.sql").write_text(INDEX)
    (sources.migrations / "0003_more.sql").write_text("comment on index box.items_by_id is 'there';")
    upgrade(url, sources)
    assert rows(url, "select obj_description('box.items_by_id'::regclass)") == [("there",)]
