"""The rows that a call on dead letters reads do not depend on how many exist, with any filter."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from libs.db import Database
from libs.idempotency import IdempotencyKey, PostgresKeys
from services.command.dead_letters.model import DeadLetterFilter
from services.command.dead_letters.store import PostgresDeadLetters

TENANT, DEAD_LETTERS, PAGE, MOST = "acme", 4000, 10, 60
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
# Of every thousand, one has another agent, session, type, reason and correlation id. All but the newest 20 were
# requeued long ago.
_NUMBERED = """
with numbered as (
  select n, md5(n::text)::uuid as id, n %% 1000 = 0 as rare, %(first)s + n * interval '1 second' as at
  from generate_series(1, %(dead_letters)s) as n
)
"""
_COMMANDS = """
insert into command.commands (
  tenant_id, command_id, partition, session_uid, session_id, agent_id, type, params, correlation_id, requested_by,
  max_attempts, options, priority, retention_s, state, enqueued_at, finished_at)
select %(tenant)s, id, 0, id, 'ses', 'clock', 'echo', '{}', case when rare then 'rare' else id::text end, 'key:k',
       3, row(1000, 10, 10, false)::command.run_options, 1, 3600, 'failed', at, at
from numbered
"""
_LETTERS = """
insert into command.dead_letters (tenant_id, command_id, agent_id, session_id, type, reason, correlation_id, dead_at,
                                  requeued_as)
select %(tenant)s, id, case when rare then 'bell' else 'clock' end, case when rare then 'ses-2' else 'ses-1' end,
       case when rare then 'rare' else 'echo' end, case when rare then 'TOOL_NOT_FOUND' else 'TOOL_ERROR' end,
       case when rare then 'rare' else id::text end, at,
       case when n <= %(dead_letters)s - 20 then id end
from numbered
"""
_READ = """
    select coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0) from pg_stat_user_tables
    where schemaname in ('session', 'command', 'idempotency')
"""
RARE = {
    "agent": DeadLetterFilter(agent_id="bell"),
    "session": DeadLetterFilter(session_id="ses-2"),
    "type": DeadLetterFilter(type="rare"),
    "reason": DeadLetterFilter(reasons=("TOOL_NOT_FOUND",)),
    "reasons": DeadLetterFilter(reasons=("TOOL_NOT_FOUND", "COMMAND_TIMEOUT")),
    "correlation": DeadLetterFilter(correlation_id="rare"),
    "not requeued": DeadLetterFilter(requeued=False),
    "all": DeadLetterFilter(),
    "time": DeadLetterFilter(dead_after=FIRST + timedelta(seconds=100), dead_before=FIRST + timedelta(seconds=110)),
}


class Rig:
    """The store on one connection, so that the plans made first are used to the end."""

    def __init__(self, database: Database, admin: psycopg.AsyncConnection) -> None:
        self._database, self._admin = database, admin
        self.dead_letters, self.keys = PostgresDeadLetters(database), PostgresKeys(database)

    async def cost(self, call: Callable[[], Awaitable[Any]]) -> tuple[int, Any]:
        """The number of rows that a call read, and its result."""
        before = await self._rows_read()
        result = await call()
        return await self._rows_read() - before, result

    async def grow(self) -> list[UUID]:
        values = {"tenant": TENANT, "dead_letters": DEAD_LETTERS, "first": FIRST}
        for insert in (_COMMANDS, _LETTERS):
            await self._admin.execute((_NUMBERED + insert).encode(), values)
        cursor = await self._admin.execute(b"select command_id from command.dead_letters order by dead_at")
        return [row[0] for row in await cursor.fetchall()]

    async def _rows_read(self) -> int:
        """The statistics of both connections. A connection reports them by itself, a second later."""
        await self._database.values("select pg_stat_force_next_flush()")
        await self._admin.execute(b"select pg_stat_force_next_flush()")
        row = await (await self._admin.execute(_READ.encode())).fetchone()
        return int(row[0]) if row else 0


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = Database.of(url, role="callboard_command", name="command", size=1)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture
async def rig(database_url: str, app_database_url: str) -> AsyncIterator[Rig]:
    async with (
        opened(app_database_url) as database,
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as admin,
    ):
        yield Rig(database, admin)


async def test_every_filter_reads_at_most_a_page_of_its_index(rig: Rig) -> None:
    async def found(wanted: DeadLetterFilter) -> list[Any]:
        return await rig.dead_letters.find(TENANT, wanted, None, PAGE)

    async def matched(wanted: DeadLetterFilter) -> list[Any]:
        return await rig.dead_letters.match(TENANT, wanted, None, PAGE)

    for _ in range(8):  # statements are prepared on their sixth run, while the tables are empty
        for wanted in RARE.values():
            assert (await found(wanted), await matched(wanted)) == ([], [])
    await rig.grow()
    costs = {}
    for name, wanted in RARE.items():
        for way in (found, matched):
            costs[name, way.__name__], result = await rig.cost(partial(way, wanted))
            expected = PAGE if name in {"not requeued", "all", "time"} else DEAD_LETTERS // 1000
            assert len(result) == expected, name
    assert {name: rows for name, rows in costs.items() if rows > MOST} == {}


async def test_late_page_reads_no_more_rows_than_the_first(rig: Rig) -> None:
    ids = await rig.grow()
    keyset = {"at": (FIRST + timedelta(seconds=DEAD_LETTERS // 2)).isoformat(), "id": str(UUID(int=0))}
    rows, page = await rig.cost(lambda: rig.dead_letters.find(TENANT, DeadLetterFilter(), keyset, PAGE))
    assert [one.command.command_id for one in page] == ids[DEAD_LETTERS // 2 - 2 :: -1][:PAGE]
    assert rows <= MOST


async def test_call_with_ids_reads_only_those_dead_letters(rig: Rig) -> None:
    nowhere = [uuid4() for _ in range(5)]

    async def everything(ids: list[UUID]) -> None:
        key = IdempotencyKey("requeue_many", uuid4().hex, b"h")
        assert (await rig.keys.take(TENANT, key)).code == "taken"
        assert await rig.keys.keep_plan(TENANT, key, "plan") == "plan"
        assert await rig.keys.finish(TENANT, key, "answer") == "answer"
        assert (await rig.keys.take(TENANT, key)).response == "answer"
        await rig.dead_letters.requeue_targets(TENANT, ids)
        await rig.dead_letters.commands(TENANT, ids)
        await rig.dead_letters.purge_many(TENANT, replace(key, method="purge_many"), ids, requeued=None, more=False)

    for _ in range(8):
        await everything(nowhere)
    ids = await rig.grow()
    rows, _ = await rig.cost(lambda: everything(ids[:5]))
    assert rows <= MOST
    assert set(await rig.dead_letters.requeue_targets(TENANT, ids[:6])) == {ids[5]}


async def test_count_stops_at_its_limit(rig: Rig) -> None:
    await rig.grow()
    rows, number = await rig.cost(lambda: rig.dead_letters.count(TENANT, DeadLetterFilter(), 50))
    assert number == 50
    assert rows <= MOST
    assert (
        await rig.dead_letters.count(TENANT, DeadLetterFilter(reasons=("TOOL_NOT_FOUND",)), 50) == DEAD_LETTERS // 1000
    )
