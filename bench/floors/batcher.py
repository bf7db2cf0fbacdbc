"""Group commit at its simplest: what arrives while a transaction commits forms the next one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Batcher(Generic[Item]):
    """Gives what waits to `flush`, at most `most` at a time; one batch is under way at a time."""

    def __init__(self, flush: Callable[[list[Item]], Awaitable[None]], most: int = 100) -> None:
        self._flush = flush
        self._most = most
        self._waiting: list[tuple[Item, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def run(self, item: Item) -> None:
        """Return when the item's batch is done."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        await done

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            await self._flush([item for item, _ in batch])
            for _, done in batch:
                if not done.done():
                    done.set_result(None)
        self._task = None
