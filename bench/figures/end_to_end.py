"""Commands per second from the first submit to the last completion, with every event stored.

Ours: `BulkSubmitCommands` of 100 echo commands, 4 calls in flight, to 16 agents in turn, at most 6,000
outstanding; counted by `StreamEvents` subscribers that see `command.completed` of every command. There is no floor. The
aim is to be faster than the fastest peer that always writes to disk. The figure includes the submits.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.figure import Comparison, Sides
from bench.load import running_load
from bench.rig import Rig
from bench.stats import Aim
from bench.timing import burst

CALLS_IN_FLIGHT = 4
BATCH = 100
AGENTS = 16
_OUTSTANDING = 6000


@asynccontextmanager
async def _sides(rig: Rig) -> AsyncIterator[Sides]:
    calls = rig.size(10, 60)
    async with running_load(rig, AGENTS) as load:

        async def submit(number: int) -> None:
            await load.until(_OUTSTANDING)
            await load.submit_many(number)

        async def ours() -> float:
            began = time.perf_counter()
            await burst(calls, CALLS_IN_FLIGHT, submit)
            await load.drained()
            return calls * BATCH / (time.perf_counter() - began)

        yield Sides(ours)


END_TO_END = Comparison(
    name="end_to_end", title="commands end to end", unit="/s", aim=Aim(2850, "more", of_floor=False),
    peers="BullMQ (fsync always) 2,850/s, taskiq-nats 2,200 (not durable), pgqueuer 820, Celery 310, arq 310, "
    "Procrastinate 150, Temporal 27",
    prepare=_sides,
)  # fmt: skip
