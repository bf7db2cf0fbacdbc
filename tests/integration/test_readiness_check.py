"""The check whether Postgres answers leaves no connection behind, at whatever moment its caller is cancelled."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any

import psycopg

from libs.embedded.postgres_roles import answers
from tests.support.eventually import eventually

_OPEN = "select count(*) from pg_stat_activity where application_name = 'readiness'"


class CancelledAt:
    """A coroutine that is cancelled at one of its waits: when that wait is over, before the coroutine goes on."""

    def __init__(self, coroutine: Coroutine[Any, Any, bool], wait: int) -> None:
        self._coroutine = coroutine
        self._wait = wait

    def __await__(self) -> Generator[Any, None, bool]:
        running = self._coroutine.__await__()
        for _ in range(self._wait):
            try:
                awaited = next(running)
            except StopIteration as finished:
                return bool(finished.value)
            yield awaited
        running.throw(asyncio.CancelledError())
        raise AssertionError("the coroutine went on after its cancellation")


async def test_cancelled_readiness_check_leaves_no_connection(database_url: str) -> None:
    url = psycopg.conninfo.make_conninfo(database_url, application_name="readiness")
    cancelled: list[asyncio.CancelledError] = []  # kept, because a traceback keeps what a coroutine did not close
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as admin:

        async def none_is_open() -> bool:
            row = await (await admin.execute(_OPEN)).fetchone()
            return row == (0,)

        while not await _finishes(CancelledAt(answers(url), 1 + len(cancelled)), cancelled):
            await eventually(none_is_open)
        await eventually(none_is_open)
    assert cancelled


async def _finishes(check: CancelledAt, cancelled: list[asyncio.CancelledError]) -> bool:
    try:
        return await check
    except asyncio.CancelledError as error:
        cancelled.append(error)
        return False
