"""The time from the submit call to the command's start on an idle suite, p50 in ms.

Ours: from before the call of `SubmitCommand` to the `created_at` of `command.started`, both by this machine's clock.
Each command follows the end of the previous one. A second row is the time from the command's `enqueued_at` to its
start, which excludes the caller's round trip. Floor: from before a publish to JetStream to the message's arrival in the
same process, with `libs.bus` (Publisher and PullLoop), one at a time.
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

_PAUSE = 0.005  # seconds; by then the runner has finished the previous command


async def _one(load: Load) -> tuple[float, float]:
    """Submit a command. Return the milliseconds from the call, and from `enqueued_at`, to its start."""
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
    from_entry = Row("entry_to_start", "enqueued_at → command.started, idle, p50", "ms")
    async with delivering(rig) as deliver, running_load(rig, 1) as load:

        async def floor() -> float:
            return median(await each_ms(commands, deliver))

        async def ours() -> float:
            times = [await _one(load) for _ in range(commands)]
            from_entry.ours.append(median([entry for _, entry in times]))
            return median([call for call, _ in times])

        yield Sides(ours, floor, [from_entry])


SUBMIT_TO_START = Comparison(
    name="submit_to_start", title="submit → start, idle, p50", unit="ms", aim=Aim(2.5, "less"),
    floor_title="JetStream publish → deliver",
    peers="taskiq-nats 1.4 ms, BullMQ 2.3, Celery 4.3, Temporal 105, LangGraph 993", prepare=_sides,
)  # fmt: skip
