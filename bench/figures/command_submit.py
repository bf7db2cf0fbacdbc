"""Commands submitted per second by single calls, 32 in flight.

Ours: `SubmitCommand` to 16 agents in turn, which use several log partitions, as many agents do. A second row sends all
commands to one agent. The runner is suspended during a sample, because the floor's messages have no consumer either. A
third row is the first one with the runner at work. Floor: a bare grpc.aio server that commits a row in a group and
waits until JetStream has stored a message for it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.figure import Comparison, Sides
from bench.floors.calls import BODY, floor_channel, unary
from bench.load import running_load
from bench.rig import Rig
from bench.stats import Aim, Row
from bench.timing import burst

IN_FLIGHT = 32
AGENTS = 16


@asynccontextmanager
async def _sides(rig: Rig) -> AsyncIterator[Sides]:
    total = rig.size(150, 1000)
    working = Row("command_submit_working", "the same while the runner works them off", "/s")
    single = Row("command_submit_one_agent", "the same, all for one agent", "/s")
    async with floor_channel(rig) as channel, running_load(rig, AGENTS) as load:
        publish = unary(channel, "Publish")

        async def floor() -> float:
            return await burst(total, IN_FLIGHT, lambda _: publish(BODY))

        async def ours() -> float:
            with rig.runner_suspended():
                rate = await burst(total, IN_FLIGHT, load.submit)
            await load.drained()
            with rig.runner_suspended():
                single.ours.append(await burst(total, IN_FLIGHT, lambda _: load.submit(0)))
            await load.drained()
            working.ours.append(await burst(total, IN_FLIGHT, load.submit))
            await load.drained()
            return rate

        yield Sides(ours, floor, [single, working])


COMMAND_SUBMIT = Comparison(
    name="command_submit", title="command submit, 32 in flight", unit="/s", aim=Aim(0.8, "more"),
    floor_title="gRPC + group commit + JetStream ack",
    peers="BullMQ 6,000/s (loses up to 1 s), Procrastinate 870, Celery 770, Temporal 119", prepare=_sides,
)  # fmt: skip
