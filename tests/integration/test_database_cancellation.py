"""A task cancelled while it uses the database ends as cancelled, at any moment, and the pool loses no connection.

On Python 3.11, `asyncio.wait_for` in the pool loses a cancellation that comes together with its result.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import psycopg
import pytest

from libs.db import Database, pool
from tests.support.eventually import eventually

SIZE = 3
MOMENTS = 80  # turns of the event loop after which a cancellation comes; a statement takes four or more


@pytest.fixture
async def database(app_database_url: str) -> AsyncIterator[Database]:
    database = Database.of(app_database_url, role="callboard_session", name="pooled", size=SIZE)
    await database.open()
    await assert_pool_is_whole(database)
    yield database
    await database.close()


async def assert_pool_is_whole(database: Database) -> None:
    """Checks that all of the pool's connections can be used at the same time."""
    everyone = asyncio.Barrier(SIZE)

    async def one() -> int:
        async with database.connection() as connection:
            await everyone.wait()
            cursor = await connection.execute("select pg_backend_pid()")
            return int((await cursor.fetchall())[0][0])

    backends = await asyncio.wait_for(asyncio.gather(*(one() for _ in range(SIZE))), 10)
    assert len(set(backends)) == SIZE


async def turns(count: int) -> None:
    """Lets the event loop run `count` times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def cancelled_after(moment: int, work: Coroutine[Any, Any, Any]) -> None:
    """Cancels endless work after `moment` turns of the loop, and expects it to end."""
    task = asyncio.create_task(work)
    await turns(moment)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=5)
    assert done, f"cancelled after {moment} turns, it runs on"
    assert task.cancelled(), f"cancelled after {moment} turns, it ended with {task.exception()!r}"


async def query_forever(database: Database) -> None:
    while True:
        await database.values("select 1")


async def test_loop_of_statements_can_be_cancelled_at_any_moment(database: Database) -> None:
    for moment in range(MOMENTS):
        await cancelled_after(moment, query_forever(database))
    await assert_pool_is_whole(database)


async def test_loop_can_be_cancelled_while_its_connection_is_checked(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is being checked is already out of the pool, and must go back too."""
    monkeypatch.setattr(pool, "_RESTED_SECONDS", 0.0)
    for moment in range(MOMENTS):
        await cancelled_after(moment, query_forever(database))
    await assert_pool_is_whole(database)


async def test_waiter_cancelled_as_it_gets_a_connection_returns_it(
    database: Database,
) -> None:
    for moment in range(MOMENTS // 4):
        held = [database.connection() for _ in range(SIZE)]
        for each in held:
            await each.__aenter__()
        waiting = asyncio.create_task(query_forever(database))
        await eventually(lambda: database.pool.get_stats().get("requests_waiting"))
        releasing = asyncio.create_task(held[0].__aexit__(None, None, None))
        await turns(moment)
        waiting.cancel()
        done, _ = await asyncio.wait({waiting}, timeout=5)
        assert done, f"cancelled {moment} turns after a connection came back, it runs on"
        assert waiting.cancelled()
        await releasing
        for each in held[1:]:
            await each.__aexit__(None, None, None)
        await assert_pool_is_whole(database)


async def test_cancelled_waiter_leaves_the_queue_for_a_connection(
    database: Database,
) -> None:
    async with database.connection(), database.connection(), database.connection():
        waiting = asyncio.create_task(database.values("select 1"))
        behind = asyncio.create_task(database.values("select 2"))
        await eventually(lambda: database.pool.get_stats().get("requests_waiting") == 2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not behind.done()
    assert await asyncio.wait_for(behind, 5) == [2]
    await assert_pool_is_whole(database)


async def test_cancelled_statement_also_stops_in_the_database(database: Database, database_url: str) -> None:
    active = "select count(*) from pg_stat_activity where application_name = 'pooled' and state = 'active'"
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as admin:

        async def at_work() -> int:
            return int((await (await admin.execute(active)).fetchall())[0][0])

        sleeping = [asyncio.create_task(database.values("select pg_sleep(60)")) for _ in range(SIZE)]

        async def all_sleep() -> bool:
            return await at_work() == SIZE

        await eventually(all_sleep)
        for task in sleeping:
            task.cancel()
        outcomes = await asyncio.wait_for(asyncio.gather(*sleeping, return_exceptions=True), 10)
        assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * SIZE

        async def none_sleeps() -> bool:
            return await at_work() == 0

        await eventually(none_sleeps, 5)
    await assert_pool_is_whole(database)


async def test_cancelled_transaction_is_rolled_back_and_returns_its_connection(
    database: Database, database_url: str
) -> None:
    inserted = asyncio.Event()

    async def insert() -> None:
        async with database.connection() as connection, connection.transaction():
            await connection.execute(
                "insert into session.agents (tenant_id, agent_id, display_name, kind, server, exclusive, labels)"
                " values ('acme', 'half', '', 'echo', '', true, '{}')"
            )
            inserted.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(insert())
    await asyncio.wait_for(inserted.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as admin:
        cursor = await admin.execute("select count(*) from session.agents")
        assert await cursor.fetchall() == [(0,)]
    await assert_pool_is_whole(database)


async def test_cleanup_of_a_cancelled_task_can_use_the_database(database: Database) -> None:
    """Cleanup code in a cancelled task can use the database."""
    answers: list[list[Any]] = []

    async def work() -> None:
        try:
            await database.values("select pg_sleep(60)")
        finally:
            answers.append(await database.values("select 'last words'"))

    task = asyncio.create_task(work())
    await eventually(lambda: database.pool.get_stats()["pool_available"] == SIZE - 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert answers == [["last words"]]
    await assert_pool_is_whole(database)
