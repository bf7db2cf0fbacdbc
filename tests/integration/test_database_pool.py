"""The connection pool replaces dead connections before a call gets one."""

import asyncio

import psycopg
import pytest

from libs.db import Database, pool
from tests.support.eventually import eventually


async def test_connections_that_died_while_idle_are_replaced_before_use(
    database_url: str, app_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_RESTED_SECONDS", 0.0)
    database = Database.of(app_database_url, role="callboard_session", name="pooled", size=4)
    await database.open()
    try:
        await asyncio.gather(*(database.values("select pg_sleep(0.05)") for _ in range(4)))
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as admin:
            await admin.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'pooled'"
            )
        for _ in range(8):
            assert await database.values("select 1") == [1]
    finally:
        await database.close()


async def test_pool_lends_the_connection_that_was_used_last(app_database_url: str) -> None:
    database = Database.of(app_database_url, role="callboard_session", name="pooled", size=4)
    await database.open()
    try:
        await asyncio.gather(*(database.values("select pg_sleep(0.05)") for _ in range(4)))
        backends = {(await database.values("select pg_backend_pid()"))[0] for _ in range(8)}
        assert len(backends) == 1
    finally:
        await database.close()


async def test_client_that_stops_reading_does_not_hold_a_lock_for_long(
    database_url: str, app_database_url: str
) -> None:
    """The kernel still answers for a paused process, so its connection looks alive. The backend waits to write to it,
    and holds the lock of its statement, until the kernel ends the connection (concurrency, rule 5)."""
    database = Database.of(app_database_url, role="callboard_session", name="paused", size=1)
    paused = psycopg.connect(str(database.pool.conninfo), autocommit=True)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:

        async def waits_to_write() -> bool:
            found = await other.execute(
                "select 1 from pg_stat_activity where application_name = 'paused' and wait_event = 'ClientWrite'"
            )
            return found.rowcount == 1

        paused.pgconn.send_query(b"select pg_advisory_xact_lock(77), repeat('x', 60000000)")
        await eventually(waits_to_write)
        await asyncio.wait_for(other.execute("select pg_advisory_xact_lock(77)"), 20)
    paused.close()
