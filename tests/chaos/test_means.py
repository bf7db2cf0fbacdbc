"""The fault injectors work: a fault without an effect would prove nothing."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psycopg
import pytest

from tests.chaos.process_faults import clock_environment
from tests.chaos.proxy import BLACKHOLE, CALM, Link
from tests.support.engines import TestPostgres

_PRINT_CLOCK = """
import os, time
print(os.getpid(), flush=True)
wall, ends = time.time(), time.monotonic() + 20
while abs(time.time() - wall) < 1000 and time.monotonic() < ends:
    pass
print(time.time(), flush=True)
"""


@pytest.fixture
async def link(postgres: TestPostgres) -> AsyncIterator[Link]:
    port = int(postgres.admin_url.rpartition(":")[2].partition("/")[0])
    made = Link("test>postgres", "127.0.0.1", port)
    await made.open()
    yield made
    await made.close()


async def _connect(url: str, link: Link) -> psycopg.AsyncConnection:
    at = url.rpartition(":")
    through = f"{at[0]}:{link.port}/{at[2].partition('/')[2]}"
    return await psycopg.AsyncConnection.connect(through, autocommit=True, connect_timeout=5)


def test_clock_fault_shifts_the_wall_clock_only(tmp_path: Path) -> None:
    environment = {**os.environ, **clock_environment(tmp_path)}
    command = [sys.executable, "-I", "-c", _PRINT_CLOCK]
    (tmp_path / "clocks").mkdir()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        (tmp_path / "clocks" / process.stdout.readline().strip()).write_text("-3600")
        shifted = float(process.stdout.readline())
    assert -3605 < shifted - time.time() < -3595


@pytest.mark.parametrize(("drop", "left"), [(Link.drop_reply, [(1,)]), (Link.drop_request, [])])
async def test_dropped_reply_follows_a_commit_and_dropped_request_does_not(
    database_url: str, link: Link, drop: Callable[[Link, str], None], left: list[tuple[int]]
) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as owner:
        await owner.execute("create table t (n integer)")
        connection = await _connect(database_url, link)
        drop(link, "insert into t")
        await connection.execute("select 1")
        with pytest.raises(psycopg.OperationalError):
            await connection.execute("insert into t values (%s)", [1])
        assert await (await owner.execute("select n from t")).fetchall() == left
        assert link.dropped == ["insert into t"]


async def test_blackhole_loses_replies_and_ends_with_a_reset(database_url: str, link: Link) -> None:
    connection = await _connect(database_url, link)
    link.turn(BLACKHOLE)
    query = asyncio.create_task(connection.execute("select 1"))
    assert not (await asyncio.wait([query], timeout=0.5))[0]
    link.turn(CALM)
    with pytest.raises(psycopg.OperationalError):
        await query
    async with await _connect(database_url, link) as again:
        await again.execute("select 1")


async def test_cut_resets_connections_and_accepts_new_ones(database_url: str, link: Link) -> None:
    connection = await _connect(database_url, link)
    await connection.execute("select 1")
    link.cut()
    with pytest.raises(psycopg.OperationalError):
        await connection.execute("select 1")
    async with await _connect(database_url, link) as again:
        await again.execute("select 1")
