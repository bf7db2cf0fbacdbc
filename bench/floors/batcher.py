"""A minimal group commit: items that arrive during a commit form the next batch."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Batcher(Generic[Item]):
    """Passes waiting items to `flush`, at most `most` at a time, one batch after another."""

    def __init__(self, flush: Callable[[list[Item]], Awaitable[None]], most: int = 100) -> None:
        self._flush = flush
        self._most = most
        self._waiting: list[tuple[Item, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def run(self, item: Item) -> None:
        """Return once the item's batch is done."""
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
