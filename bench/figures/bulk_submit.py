"""Commands accepted per second, 100 in a call, 4 calls in flight.

Ours: `BulkSubmitCommands` to 16 agents in turn; the runner is suspended during a sample. Floor: 100 rows in a
statement, 4 connections, no RPC. The aim is to be faster than the peers; the ratio to the floor is informative.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.figure import Comparison, Sides
from bench.floors.inserts import inserting
from bench.load import running_load
from bench.rig import Rig
from bench.stats import Aim
from bench.timing import burst

CALLS_IN_FLIGHT = 4
BATCH = 100
AGENTS = 16


@asynccontextmanager
async def _sides(rig: Rig) -> AsyncIterator[Sides]:
    calls = rig.size(10, 50)
    async with inserting(rig, CALLS_IN_FLIGHT, BATCH) as insert, running_load(rig, AGENTS) as load:

        async def floor() -> float:
            return BATCH * await burst(4 * calls, CALLS_IN_FLIGHT, insert)

        async def ours() -> float:
            with rig.runner_suspended():
                rate = BATCH * await burst(calls, CALLS_IN_FLIGHT, load.submit_many)
            await load.drained()
            return rate

        yield Sides(ours, floor)


BULK_SUBMIT = Comparison(
    name="bulk_submit", title="submit in bulk of 100", unit="/s", aim=Aim(12_600, "more", of_floor=False),
    floor_title="rows inserted, 100 to a statement", peers="BullMQ 9,300/s, pgqueuer 12,600/s", prepare=_sides,
)  # fmt: skip
