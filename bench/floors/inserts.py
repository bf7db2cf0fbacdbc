"""Multi-row inserts over a few connections of this process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import psycopg

from bench.floors.calls import BODY
from bench.floors.rows import insert_many
from bench.rig import Rig


@asynccontextmanager
async def inserting(rig: Rig, connections: int, rows: int) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """Yield a call that inserts `rows` rows and commits, over any free connection."""
    free: asyncio.Queue[psycopg.AsyncConnection] = asyncio.Queue()
    bodies = [BODY.decode()] * rows
    async with AsyncExitStack() as stack:
        for _ in range(connections):
            free.put_nowait(await stack.enter_async_context(await rig.database()))

        async def insert(_: int) -> None:
            connection = await free.get()
            try:
                await insert_many(connection, bodies)
            finally:
                free.put_nowait(connection)

        yield insert
