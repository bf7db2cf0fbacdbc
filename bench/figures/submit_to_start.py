"""From the submit call to the command's start, idle, p50 in ms.

Ours: from the moment before `SubmitCommand` is called to the `created_at` of the command's `command.started`,
both by this machine's clock; the next command follows after the end of the one before. A second row is the way
from the command's `enqueued_at` to its start: what the caller's own round trip does not cover. Floor: from
before a publish to JetStream to the message's arrival in the same process, by `libs.bus` (Publisher and
PullLoop), one at a time.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.figure import Comparison, Sides
from bench.floors.delivery import delivering
from bench.load import Load, running_load
from bench.rig import Rig
from bench.stats import Aim, Row, median
from bench.timing import each_ms

_PAUSE = 0.005  # seconds; the runner's last words on the command before are said by then


async def _one(load: Load) -> tuple[float, float]:
    """Submit a command; return the milliseconds from the call, and from its entry, to its start."""
    load.seen = []
    began = time.time()
    command = (await load.submit(0)).command
    await load.drained()
    started = next(event for event in load.seen if event.type == "command.started")
    at = started.created_at.ToMicroseconds()
    await asyncio.sleep(_PAUSE)
    return at / 1000 - began * 1000, (at - command.enqueued_at.ToMicroseconds()) / 1000


@asynccontextmanager
async def _sides(rig: Rig) -> AsyncIterator[Sides]:
    commands = rig.size(20, 80)
    entered = Row("entry_to_start", "enqueued_at → command.started, idle, p50", "ms")
    async with delivering(rig) as deliver, running_load(rig, 1) as load:

        async def floor() -> float:
            return median(await each_ms(commands, deliver))

        async def ours() -> float:
            ways = [await _one(load) for _ in range(commands)]
            entered.ours.append(median([way for _, way in ways]))
            return median([way for way, _ in ways])

        yield Sides(ours, floor, [entered])


SUBMIT_TO_START = Comparison(
    name="submit_to_start", title="submit → start, idle, p50", unit="ms", aim=Aim(2.5, "less"),
    floor_title="JetStream publish → deliver",
    peers="taskiq-nats 1.4 ms, BullMQ 2.3, Celery 4.3, Temporal 105, LangGraph 993", prepare=_sides,
)  # fmt: skip
