"""Migrating a database to the schema of this release."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from libs.db.migrate import (
    ChangedSignatureError,
    EditedMigrationError,
    NewerSchemaError,
    OldSchemaError,
    SchemaSources,
    upgrade,
)
from services.cli.database import migrate
from services.cli.errors import CliError
from services.cli.schema import schema_sources
from tests.support.engines import TestPostgres


@pytest.fixture
def empty_url(postgres: TestPostgres) -> Iterator[str]:
    """An empty database."""
    name = sql.Identifier(f"test_{uuid4().hex}")
    with psycopg.connect(postgres.admin_url, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(name))
        yield postgres.admin_url_of(name.as_string().strip('"'))
        connection.execute(sql.SQL("drop database {} with (force)").format(name))


@pytest.fixture
def small(tmp_path: Path) -> SchemaSources:
    """Sources of a small schema: one table, and a function that counts its rows."""
    write(tmp_path, "migrations/0001_first.sql", "create schema box;\ncreate table box.items (id integer);")
    write(tmp_path, "functions/size.sql", function("size", "select count(*)::integer from box.items"))
    return sources_in(tmp_path)


def sources_in(folder: Path) -> SchemaSources:
    return SchemaSources(folder / "migrations", (folder / "functions",))


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def function(name: str, body: str, *, arguments: str = "", result: str = "integer") -> str:
    return f"create or replace function box.{name}({arguments}) returns {result} language sql as $$ {body} $$;"


def rows(url: str, query: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


async def test_concurrent_migrations_make_one_schema(empty_url: str) -> None:
    await asyncio.gather(*(asyncio.to_thread(upgrade, empty_url, schema_sources()) for _ in range(3)))
    assert rows(empty_url, "select name from callboard.migrations") == [("0001_baseline",)]
    assert rows(empty_url, "select count(*) from session.events") == [(0,)]


def test_second_migration_changes_nothing(database_url: str) -> None:
    rows(database_url, "select session.ensure_tenant('acme')")
    state = "select (select array_agg(l.* order by position) from session.log l), array(select xmin from pg_proc)::text"
    before = rows(database_url, state)
    upgrade(database_url, schema_sources())
    upgrade(database_url, schema_sources())
    assert rows(database_url, state) == before


def test_database_of_a_newer_release_is_rejected_and_unchanged(database_url: str) -> None:
    rows(database_url, "insert into callboard.migrations values ('9999_future', '')")
    with pytest.raises(NewerSchemaError, match="9999_future") as caught:
        upgrade(database_url, schema_sources())
    assert caught.value.found == "9999_future"
    rows(database_url, "delete from callboard.migrations where name = '9999_future'")
    upgrade(database_url, schema_sources())  # the lock was released


@pytest.mark.parametrize("version", ["0001", "0004"])
def test_database_older_than_the_baseline_is_rejected_and_unchanged(empty_url: str, version: str) -> None:
    rows(empty_url, "create table schema_version (version_num text)")
    rows(empty_url, f"insert into schema_version values ('{version}')")  # noqa: S608 - one of two
    with pytest.raises(OldSchemaError, match="before release"):
        upgrade(empty_url, schema_sources())
    assert rows(empty_url, "select count(*) from pg_namespace where nspname in ('session', 'callboard')") == [(0,)]


def test_command_line_says_how_to_start_with_an_empty_database(empty_url: str) -> None:
    rows(empty_url, "create table schema_version (version_num text)")
    with pytest.raises(CliError, match=r"made before release 0\.1\.0.*drop the database.*remove \$CALLBOARD_HOME"):
        migrate(empty_url)


def test_failed_migration_leaves_nothing(empty_url: str) -> None:
    rows(empty_url, "create schema command")  # makes the baseline fail
    with pytest.raises(psycopg.errors.DuplicateSchema, match="command"):
        upgrade(empty_url, schema_sources())
    assert rows(empty_url, "select count(*) from pg_namespace where nspname = 'session'") == [(0,)]
    assert rows(empty_url, "select count(*) from callboard.migrations") == [(0,)]
    rows(empty_url, "drop schema command")
    upgrade(empty_url, schema_sources())
    assert rows(empty_url, "select count(*) from session.sessions") == [(0,)]


def test_edited_migration_is_rejected(empty_url: str, small: SchemaSources, tmp_path: Path) -> None:
    upgrade(empty_url, small)
    write(tmp_path, "migrations/0001_first.sql", "create schema box;")
    with pytest.raises(EditedMigrationError, match="0001_first"):
        upgrade(empty_url, small)


def test_function_is_applied_again_when_its_text_changed(empty_url: str, small: SchemaSources, tmp_path: Path) -> None:
    upgrade(empty_url, small)
    write(tmp_path, "functions/size.sql", function("size", "select 42"))
    upgrade(empty_url, small)
    assert rows(empty_url, "select box.size()") == [(42,)]


def test_functions_are_applied_after_their_dependencies(empty_url: str, small: SchemaSources, tmp_path: Path) -> None:
    write(tmp_path, "functions/a_total.sql", function("a_total", "select box.size() + box.z_offset()"))
    write(tmp_path, "functions/z_offset.sql", function("z_offset", "select 7"))
    upgrade(empty_url, small)
    assert rows(empty_url, "select box.a_total()") == [(7,)]


def test_migration_can_use_the_functions_that_it_names(empty_url: str, small: SchemaSources, tmp_path: Path) -> None:
    write(tmp_path, "migrations/0002_more.sql", "alter table box.items add check (box.is_small(id));")
    write(tmp_path, "functions/is_small.sql", function("is_small", "select n < 9", arguments="n int", result="boolean"))
    upgrade(empty_url, small)
    with pytest.raises(psycopg.errors.CheckViolation):
        rows(empty_url, "insert into box.items values (9)")


@pytest.mark.parametrize(
    ("arguments", "result"), [("n int", "integer"), ("", "bigint")], ids=["other arguments", "another result"]
)
def test_changed_signature_is_rejected_naming_the_function(
    empty_url: str, small: SchemaSources, tmp_path: Path, arguments: str, result: str
) -> None:
    upgrade(empty_url, small)
    changed = function("size", "select 1", arguments=arguments, result=result)
    write(tmp_path, "functions/size.sql", changed)
    write(tmp_path, "migrations/0002_more.sql", "create table box.more ();")
    with pytest.raises(ChangedSignatureError, match=r"box\.size.*box\.size_v2"):
        upgrade(empty_url, small)
    assert rows(empty_url, "select box.size(), to_regclass('box.more')") == [(0, None)]


def test_invalid_new_function_is_rejected_in_the_words_of_postgres(
    empty_url: str, small: SchemaSources, tmp_path: Path
) -> None:
    write(tmp_path, "functions/more.sql", function("more", "select 1", arguments="a integer default 1, b integer"))
    with pytest.raises(psycopg.errors.InvalidFunctionDefinition, match="must also have default"):
        upgrade(empty_url, small)


def test_changed_type_is_rejected_naming_the_type(empty_url: str, small: SchemaSources, tmp_path: Path) -> None:
    write(tmp_path, "functions/pair.sql", "create type box.pair as (a integer, b integer);")
    upgrade(empty_url, small)
    write(tmp_path, "functions/pair.sql", "-- Two numbers.\ncreate type box.pair as (\n  a integer, b integer);")
    upgrade(empty_url, small)
    write(tmp_path, "functions/pair.sql", "create type box.pair as (a integer, b bigint);")
    with pytest.raises(ChangedSignatureError, match=r"box\.pair"):
        upgrade(empty_url, small)


def test_domain_accepts_new_values_after_its_constraint_changed(
    empty_url: str, small: SchemaSources, tmp_path: Path
) -> None:
    text = (
        "create domain box.word as text;\nalter domain box.word drop constraint if exists known;\n"
        "alter domain box.word add constraint known check (value in ('a'{more})) not valid;"
    )
    write(tmp_path, "functions/word.sql", text.format(more=""))
    upgrade(empty_url, small)
    with pytest.raises(psycopg.errors.CheckViolation):
        rows(empty_url, "select 'b'::box.word")
    write(tmp_path, "functions/word.sql", text.format(more=", 'b'"))
    upgrade(empty_url, small)
    assert rows(empty_url, "select 'b'::box.word") == [("b",)]


def test_function_without_a_file_stays_until_a_migration_drops_it(
    empty_url: str, small: SchemaSources, tmp_path: Path
) -> None:
    upgrade(empty_url, small)
    (tmp_path / "functions/size.sql").unlink()
    upgrade(empty_url, small)
    assert rows(empty_url, "select box.size()") == [(0,)]
    write(tmp_path, "migrations/0002_drop.sql", "drop function box.size();")
    upgrade(empty_url, small)
    assert rows(empty_url, "select name from callboard.definitions where name like 'box.%'") == []


def test_failed_function_rolls_back_its_migration(empty_url: str, small: SchemaSources, tmp_path: Path) -> None:
    upgrade(empty_url, small)
    write(tmp_path, "migrations/0002_more.sql", "create table box.more ();")
    write(tmp_path, "functions/size.sql", function("size", "select nothing from box.more"))
    with pytest.raises(psycopg.errors.UndefinedColumn):
        upgrade(empty_url, small)
    assert rows(empty_url, "select to_regclass('box.more')") == [(None,)]


def test_function_can_be_called_only_with_a_grant(database_url: str) -> None:
    callable_by_all = (
        "select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
        " where n.nspname in ('session', 'command', 'idempotency')"
        " and has_function_privilege('public', p.oid, 'execute')"
    )
    assert rows(database_url, callable_by_all) == []
    assert rows(database_url, "select has_schema_privilege('callboard_session', 'callboard', 'usage')") == [(False,)]
