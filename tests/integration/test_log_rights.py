"""What the services' roles may do, and what no role may do to events."""

import asyncio
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo


def execute(url: str, statement: str, *parameters: Any, role: str | None = None) -> list[Any]:
    options = {"options": f"-c role={role}"} if role else {}
    with psycopg.connect(make_conninfo(url, **options), autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def with_event(database_url: str) -> str:
    """A database with one event."""
    uid = uuid4()
    execute(database_url, "select session.ensure_tenant('acme')")
    execute(
        database_url,
        "insert into session.heads (tenant_id, session_uid, partition, session_id, agent_id, state, first_bucket)"
        " values ('acme', %s, 0, 'ses-1', 'clock', 'active', 0)", uid,
    )  # fmt: skip
    event = f'({uid},iteration,1,,cor,key:k,"",{{}})'
    execute(database_url, "select session.append_events('acme', 0::smallint, %s::session.new_event[])", [event])
    return database_url


@pytest.mark.usefixtures("with_event")
@pytest.mark.parametrize("role", ["callboard_session", "callboard_command"])
@pytest.mark.parametrize(
    "statement",
    [
        "update session.events set payload = '{}'",
        "delete from session.events",
        "truncate session.events",
        "insert into session.events select * from session.events",
        "update session.log set position = 0",
        "update session.heads set last_seq = 0",
        "alter table session.events disable trigger all",
        "drop table session.events",
        "set session_replication_role = replica",
        "update session.sessions set state = 'active'",
        "insert into session.tenants values ('x', now())",
        "update identity.api_keys set role = 'admin'",
    ],
)
def test_service_roles_cannot_change_the_log(app_database_url: str, role: str, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        execute(app_database_url, statement, role=role)


@pytest.mark.parametrize("table", ["events", "sessions", "heads", "log", "agents", "tenants"])
def test_command_role_cannot_read_session_tables(app_database_url: str, table: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        execute(app_database_url, f"select * from session.{table}", role="callboard_command")  # noqa: S608 - a name of ours


@pytest.mark.parametrize("table", ["commands", "ready", "connections", "dead_letters", "runners"])
def test_session_role_cannot_read_command_tables(app_database_url: str, table: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        execute(app_database_url, f"select * from command.{table}", role="callboard_session")  # noqa: S608 - a name of ours


@pytest.mark.parametrize(
    "call",
    [
        "select session.append_events('acme', 0::smallint, '{}')",
        "select session.start('acme', 0::smallint, '[]', '{}', '{}')",
        "select session.stop('acme', 0::smallint, '{}')",
        "select session.make_buckets(1)",
        "select session.ensure_tenant('evil')",
    ],
)
def test_command_role_can_call_only_granted_functions(app_database_url: str, call: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        execute(app_database_url, call, role="callboard_command")


def test_login_role_can_do_nothing_before_it_sets_a_role(app_database_url: str) -> None:
    for statement in ("select * from session.events", "select session.make_buckets(1)", "select * from command.ready"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            execute(app_database_url, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "update session.events set payload = '{}'",
        "update session.events set payload = payload where false or position = 1",
        "delete from session.events",
        "truncate session.events",
        "truncate session.events_standard",
        "truncate session.log, session.events",
    ],
)
def test_owner_cannot_change_events(with_event: str, statement: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation):
        execute(with_event, statement)
    assert execute(with_event, "select count(*) from session.events") == [(1,)]


def test_owner_cannot_change_events_through_their_partitions(with_event: str) -> None:
    partitions = execute(
        with_event,
        "select relid::regclass::text from pg_partition_tree('session.events') where isleaf order by 1",
    )
    assert len(partitions) >= 5
    (used,) = execute(with_event, "select tableoid::regclass::text from session.events")
    for statement in (f"update {used[0]} set payload = '{{}}'", f"delete from {used[0]}"):  # noqa: S608 - a name of ours
        with pytest.raises(psycopg.errors.RestrictViolation):
            execute(with_event, statement)
    for (name,) in partitions:
        with pytest.raises(psycopg.errors.RestrictViolation):
            execute(with_event, f"truncate {name}")


async def test_concurrent_creations_of_weeks_make_each_once(database_url: str) -> None:
    made = await asyncio.gather(
        *(asyncio.to_thread(execute, database_url, "select session.make_buckets(12)") for _ in range(6))
    )
    counts = sorted(rows[0][0] for rows in made)
    assert counts == [0, 0, 0, 0, 0, 8]  # the migration created the first five
    assert execute(database_url, "select session.make_buckets(12)") == [(0,)]


def test_weeks_created_later_are_protected_too(database_url: str, app_database_url: str) -> None:
    execute(app_database_url, "select session.make_buckets(6)", role="callboard_session")
    (last,) = execute(database_url, "select max(relid::regclass::text) from pg_partition_tree('session.events')")
    with pytest.raises(psycopg.errors.RestrictViolation):
        execute(database_url, f"truncate {last[0]}")
    insert = f"insert into {last[0]} select * from session.events"  # noqa: S608 - a name of ours
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        execute(app_database_url, insert, role="callboard_session")


def test_security_definer_functions_pin_their_search_path(database_url: str) -> None:
    loose = execute(
        database_url,
        "select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
        " where n.nspname in ('session', 'command', 'identity', 'idempotency') and p.prosecdef"
        " and not coalesce(p.proconfig::text like '%search_path=pg_catalog, pg_temp%', false)",
    )
    assert loose == []


def test_every_primary_key_but_that_of_runners_begins_with_the_tenant(database_url: str) -> None:
    first_columns = execute(
        database_url,
        "select c.relname::text, a.attname::text from pg_index i join pg_class c on c.oid = i.indrelid"
        " join pg_namespace n on n.oid = c.relnamespace"
        " join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]"
        " where i.indisprimary and n.nspname in ('session', 'command', 'identity', 'idempotency')"
        " and not c.relispartition",
    )
    assert {table for table, column in first_columns if column != "tenant_id"} == {"runners"}
