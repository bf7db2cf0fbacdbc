"""The clean-up of commands whose retention is over removes all of them, and reads nothing else."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import psycopg
import pytest

from libs.attempts import PostgresFinishes
from libs.db import Database
from services.command.dispatch.store import PostgresDelivery
from tests.integration.test_command_batches import Silent
from tests.support.eventually import eventually

KEPT, DUE = 1000, 5
MOST = 60  # rows read by a clean-up of five commands, each with an attempt, a result and a dead letter
_ENDED = """
with ended as (
  insert into command.commands (
    tenant_id, command_id, partition, session_uid, session_id, agent_id, type, params, correlation_id, requested_by,
    max_attempts, options, priority, retention_s, state,
    enqueued_at, finished_at, expires_at)
  select 'acme', gen_random_uuid(), 0, gen_random_uuid(), 'ses', 'clock', 'echo', '{}', '', 'key:k',
         3, row(1000, 10, 10, false)::command.run_options, 1, 3600, 'failed', now(), now(), now() + %s
  from generate_series(1, %s)
  returning tenant_id, command_id
), attempts as (
  insert into command.attempts (tenant_id, command_id, attempt, outcome, charged, started_at, ended_at)
  select tenant_id, command_id, 1, 'failed', true, now(), now() from ended
), results as (
  insert into command.results (tenant_id, command_id, result) select tenant_id, command_id, '{}' from ended
)
insert into command.dead_letters (tenant_id, command_id, agent_id, session_id, type, reason, dead_at)
select tenant_id, command_id, 'clock', 'ses', 'echo', 'TOOL_ERROR', now() from ended
"""
_STORED = """
select (select count(*) from command.commands), (select count(*) from command.attempts),
       (select count(*) from command.results), (select count(*) from command.dead_letters)
"""
_READ = """
select coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0) from pg_stat_user_tables
where schemaname = 'command'
"""
_WAITS = """
select exists (select from pg_stat_activity
               where datname = current_database() and wait_event_type = 'Lock'
                 and query ~ 'delete from command.dead_letters')
"""


class Rig:
    """The store on one connection, whose plans were made while the tables were empty; and the database's owner."""

    def __init__(self, database: Database, admin: psycopg.AsyncConnection) -> None:
        self._database, self._admin = database, admin
        self.store = PostgresDelivery(database, Silent(), PostgresFinishes(database, Silent()))

    async def add_ended(self, number: int, retention: timedelta) -> None:
        await self._admin.execute(_ENDED, (retention, number))

    async def stored(self) -> list[int]:
        """How many commands, attempts, results and dead letters there are."""
        return list(await (await self._admin.execute(_STORED)).fetchone() or ())

    async def rows_read(self) -> int:
        await self._database.values("select pg_stat_force_next_flush()")
        await self._admin.execute("select pg_stat_force_next_flush()")
        row = await (await self._admin.execute(_READ)).fetchone()
        return int(row[0]) if row else 0

    async def waits(self) -> bool:
        row = await (await self._admin.execute(_WAITS)).fetchone()
        return row == (True,)


@pytest.fixture
async def rig(database_url: str, app_database_url: str) -> AsyncIterator[Rig]:
    async with (
        Database.opened(app_database_url, role="callboard_command", name="command", size=1) as database,
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as admin,
    ):
        rig = Rig(database, admin)
        for _ in range(8):  # statements are prepared on their sixth run
            await rig.store.forget()
        yield rig


async def test_clean_up_reads_only_commands_whose_retention_is_over(rig: Rig) -> None:
    await rig.add_ended(KEPT, timedelta(hours=1))
    await rig.add_ended(DUE, timedelta(seconds=-1))
    before = await rig.rows_read()
    await rig.store.forget()
    rows = await rig.rows_read() - before
    assert await rig.stored() == [KEPT] * 4
    assert DUE <= rows <= MOST


async def test_clean_up_removes_a_dead_letter_that_changes_meanwhile(rig: Rig, database_url: str) -> None:
    await rig.add_ended(DUE, timedelta(seconds=-1))
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        await other.execute("update command.dead_letters set published = true")
        clean_up = asyncio.create_task(rig.store.forget())
        await eventually(rig.waits)
        await other.commit()
        await clean_up
    assert await rig.stored() == [0] * 4
