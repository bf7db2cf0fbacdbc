"""Timing calls: one after the other, or so many in flight."""

import asyncio
import time
from collections.abc import Awaitable, Callable

Call = Callable[[int], Awaitable[object]]
"""Does the n-th call."""


async def burst(total: int, in_flight: int, call: Call) -> float:
    """Do `total` calls with `in_flight` of them at a time; return how many a second."""
    numbers = iter(range(total))

    async def work() -> None:
        for number in numbers:
            await call(number)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(min(in_flight, total)):
            group.create_task(work())
    return total / (time.perf_counter() - began)


async def each_ms(total: int, call: Call) -> list[float]:
    """Do calls one after the other; return how many milliseconds each took."""
    took = []
    for number in range(total):
        began = time.perf_counter()
        await call(number)
        took.append((time.perf_counter() - began) * 1000)
    return took
