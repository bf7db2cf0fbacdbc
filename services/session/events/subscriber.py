"""The bounded buffer between the live tail and one reader."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from services.session.events.model import Event

_LIMIT = 2048
"""The most events that wait for one reader. A slower reader reads from storage instead."""


@dataclass(slots=True)
class Batch:
    """Events that are delivered together to all readers of a scope. `wire` is the encoded response."""

    events: list[Event]
    wire: bytes | None = field(default=None, repr=False)


class Subscriber:
    """Receives the events of one scope, in order, from the moment it is attached."""

    __slots__ = ("_queue", "_size", "_waiter", "closed", "overflowed")

    def __init__(self) -> None:
        self._queue: deque[Batch] = deque()
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self.overflowed = False
        self.closed = False

    def push(self, batch: Batch) -> None:
        """Add a batch. When there is no room, the reader leaves the live tail; other readers are not affected."""
        if self.overflowed:
            return
        self._size += len(batch.events)
        if self._size > _LIMIT:
            self.overflowed = True
            self._queue.clear()
        else:
            self._queue.append(batch)
        self._wake()

    def close(self) -> None:
        """End the subscription because the replica shuts down."""
        self.closed = True
        self._wake()

    async def take(self, patience: float) -> Batch | None:
        """Return the next batch, or None after `patience` seconds, on overflow, or when closed."""
        if not self._queue and not self.overflowed and not self.closed:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = loop.call_later(patience, self._wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        if not self._queue:
            return None
        batch = self._queue.popleft()
        self._size -= len(batch.events)
        return batch

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
