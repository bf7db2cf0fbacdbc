"""Times calls, sequentially or with several in flight."""

import asyncio
import time
from collections.abc import Awaitable, Callable

Call = Callable[[int], Awaitable[object]]
"""Makes the n-th call."""


async def burst(total: int, in_flight: int, call: Call) -> float:
    """Make `total` calls, `in_flight` at a time, and return the rate per second."""
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
    """Make calls sequentially, and return the duration of each in milliseconds."""
    durations = []
    for number in range(total):
        began = time.perf_counter()
        await call(number)
        durations.append((time.perf_counter() - began) * 1000)
    return durations
