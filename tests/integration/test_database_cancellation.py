"""Whoever is cancelled while it waits for the database ends so, at every moment, and costs the pool nothing.

On Python 3.11 a cancellation that comes at the moment of what the pool waits for is lost (`asyncio.wait_for`).
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
    await assert_whole(database)
    yield database
    await database.close()


async def assert_whole(database: Database) -> None:
    """Each of the pool's connections can be lent, all at once, and answers."""
    everyone = asyncio.Barrier(SIZE)

    async def one() -> int:
        async with database.connection() as connection:
            await everyone.wait()
            cursor = await connection.execute("select pg_backend_pid()")
            return int((await cursor.fetchall())[0][0])

    backends = await asyncio.wait_for(asyncio.gather(*(one() for _ in range(SIZE))), 10)
    assert len(set(backends)) == SIZE


async def turns(count: int) -> None:
    """Lets the event loop turn so often."""
    for _ in range(count):
        await asyncio.sleep(0)


async def cancelled_after(moment: int, work: Coroutine[Any, Any, Any]) -> None:
    """Cancels some endless work at that moment; it must end by that."""
    task = asyncio.create_task(work)
    await turns(moment)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=5)
    assert done, f"cancelled after {moment} turns, it runs on"
    assert task.cancelled(), f"cancelled after {moment} turns, it ended with {task.exception()!r}"


async def ask_for_ever(database: Database) -> None:
    while True:
        await database.values("select 1")


async def test_a_loop_of_statements_ends_whenever_it_is_cancelled(database: Database) -> None:
    for moment in range(MOMENTS):
        await cancelled_after(moment, ask_for_ever(database))
    await assert_whole(database)


async def test_a_loop_whose_connections_are_asked_whether_they_live_ends_whenever_it_is_cancelled(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is lent already while it is asked, and goes back too."""
    monkeypatch.setattr(pool, "_RESTED_SECONDS", 0.0)
    for moment in range(MOMENTS):
        await cancelled_after(moment, ask_for_ever(database))
    await assert_whole(database)


async def test_who_is_cancelled_at_the_moment_of_its_turn_ends_so_and_leaves_the_connection_to_the_next(
    database: Database,
) -> None:
    for moment in range(MOMENTS // 4):
        held = [database.connection() for _ in range(SIZE)]
        for each in held:
            await each.__aenter__()
        waiting = asyncio.create_task(ask_for_ever(database))
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
        await assert_whole(database)


async def test_who_is_cancelled_while_it_waits_for_a_connection_leaves_its_place_in_the_queue(
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
    await assert_whole(database)


async def test_a_statement_that_is_cancelled_stops_in_the_database_too(database: Database, database_url: str) -> None:
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
    await assert_whole(database)


async def test_a_transaction_that_is_cancelled_is_rolled_back_and_its_connection_goes_back(
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
    await assert_whole(database)


async def test_the_last_words_of_who_was_cancelled_before_are_written(database: Database) -> None:
    """A cancellation from before is no reason to end once more."""
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
    await assert_whole(database)
