"""Batches calls by key: items that arrive while a transaction commits form the next batch (ADR 0003).

Each key, for example (tenant, log partition), has a queue of its own. A batch that mixed partitions would lock all of
them: 11,500 events a second instead of 39,500 (concurrency, rule 4). There is no timer, and no delay when idle.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

import structlog

from libs.db.errors import is_rejected_data, is_retryable
from libs.errors import Reason, ServiceError

_log = structlog.get_logger(__name__)
_Key = TypeVar("_Key", bound=Hashable)
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_RETRIES = 8


class KeyedBatcher(Generic[_Key, _Item, _Result]):
    """Runs each batch of a key's items as one call of `flush(key, items)`, which returns one result per item.

    At most `width` batches of a key run at once. Two keep the database busy while the first answer travels.
    One bad item fails alone (rule 8): when the data of a batch is rejected, its two halves are tried. When a transient
    error rolled the transaction back, the same batch is run again.
    """

    def __init__(
        self,
        flush: Callable[[_Key, Sequence[_Item]], Awaitable[Sequence[_Result]]],
        *,
        max_batch: int = 100,
        width: int = 2,
    ) -> None:
        self._flush = flush
        self._max_batch = max_batch
        self._width = width
        self._waiting: dict[_Key, deque[tuple[_Item, asyncio.Future[_Result]]]] = {}
        self._under_way: dict[_Key, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, key: _Key, item: _Item) -> _Result:
        """Run `item` in a batch with the others of its key, and return its own result.

        Cancelling a caller does not take its item back: the item may or may not be run.
        """
        future: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        queue = self._waiting.get(key)
        if queue is None:
            queue = self._waiting[key] = deque()
        queue.append((item, future))
        if len(queue) == 1 and self._under_way.get(key, 0) < self._width:
            self._start(key)
        return await future

    async def drain(self) -> None:
        """Wait until every item is done."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def _start(self, key: _Key) -> None:
        # The task starts in the next turn of the event loop, so everything that arrives in this turn joins its batch.
        self._under_way[key] = self._under_way.get(key, 0) + 1
        task = asyncio.get_running_loop().create_task(self._work(key), name=f"batches {key}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, key: _Key) -> None:
        try:
            queue = self._waiting.get(key)
            while queue:
                batch = [queue.popleft() for _ in range(min(len(queue), self._max_batch))]
                if queue and self._under_way[key] < self._width:
                    self._start(key)
                await self._settle(key, batch)
        finally:
            self._under_way[key] -= 1
            if not self._under_way[key] and not self._waiting.get(key):
                self._under_way.pop(key, None)
                self._waiting.pop(key, None)

    async def _settle(self, key: _Key, batch: list[tuple[_Item, asyncio.Future[_Result]]]) -> None:
        try:
            results = await self._attempt(key, [item for item, _ in batch])
            if len(results) != len(batch):
                raise ValueError(f"{len(results)} results for {len(batch)} items")
        except Exception as error:  # noqa: BLE001 - it is passed on to this batch's callers
            if is_rejected_data(error) and len(batch) > 1:
                half = len(batch) // 2
                await self._settle(key, batch[:half])
                await self._settle(key, batch[half:])
                return
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():  # a cancelled caller must not stop the others' batches
                future.set_result(result)

    async def _attempt(self, key: _Key, items: list[_Item]) -> Sequence[_Result]:
        for attempt in range(_RETRIES):
            try:
                return await self._flush(key, items)
            except Exception as error:
                if not is_retryable(error):
                    raise
                _log.info("batch_retry", attempt=attempt, sqlstate=getattr(error, "sqlstate", None), items=len(items))
                await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - jitter
        raise ServiceError(Reason.DATABASE_UNAVAILABLE, "the database is too busy; try again")
