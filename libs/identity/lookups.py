"""Looks up values by key, once for concurrent callers, and caches them for a short time."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")
Ask = Callable[[], Awaitable[Value | None]]
"""Looks up the value; returns None when there is none."""


class Lookups(Generic[Value]):
    """Caches up to `size` answers: a value for `seconds`, a missing value for `unknown_seconds`.

    The time counts from the start of the lookup. The least recently used answer is dropped first. Errors are not
    cached.
    """

    def __init__(self, size: int, seconds: float, unknown_seconds: float = 0.0) -> None:
        self._size = size
        self._seconds = seconds
        self._unknown_seconds = unknown_seconds
        self._answers: OrderedDict[bytes, tuple[float, Value | None]] = OrderedDict()
        self._under_way: dict[bytes, asyncio.Task[Value | None]] = {}

    async def get(self, key: bytes, ask: Ask[Value]) -> Value | None:
        """Return the value of a key, from the cache or by calling `ask`. Raises what `ask` raises."""
        answer = self._answers.get(key)
        if answer is not None and time.monotonic() < answer[0]:
            self._answers.move_to_end(key)
            return answer[1]
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(self.refresh(key, ask), name="lookup")
            task.add_done_callback(lambda done: self._forget(key, done))
        # Shielded, because a cancelled caller must not cancel the lookup of the others.
        return await asyncio.shield(task)

    async def refresh(self, key: bytes, ask: Ask[Value]) -> Value | None:
        """Call `ask` even if an answer is cached, and cache the new one."""
        asked_at = time.monotonic()
        value = await ask()
        seconds = self._unknown_seconds if value is None else self._seconds
        self._answers[key] = (asked_at + seconds, value)
        self._answers.move_to_end(key)
        if len(self._answers) > self._size:
            self._answers.popitem(last=False)
        return value

    def _forget(self, key: bytes, done: "asyncio.Task[Value | None]") -> None:
        self._under_way.pop(key, None)
        if not done.cancelled():
            done.exception()  # marks the error as retrieved when all callers were cancelled
