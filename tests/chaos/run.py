"""One run: starts the suite, applies load, injects faults, lets the suite recover, and records what happened.

The folder gets schedule.json, the histories (operations, effects, faults, dispatches, seen), the logs of the processes,
the rows of the tables, and end.json. `check` reads it.
"""

import asyncio
import json
import random
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.chaos.agents import AGENTS, ODD_TOOLS, agents_of
from tests.chaos.calls import Caller
from tests.chaos.dispatches import dispatches_recorded
from tests.chaos.faults import Faults
from tests.chaos.journal import Journal, Operations, Row
from tests.chaos.process_faults import clock_environment
from tests.chaos.resources import sample_at_rest
from tests.chaos.rig import Rig, running_rig
from tests.chaos.schedule import NEED_IMAGES, NEED_LINKS, Schedule
from tests.chaos.settle import SETTLE_SECONDS, caught_up, connected, dump, leftovers, settle
from tests.chaos.subscribers import GrpcSubscriber, SseSubscriber, Subscriber, following
from tests.chaos.workload import CHANGE_SECONDS, Workload

SUBSCRIBERS = 20
"""For each agent, one follows over gRPC and one over SSE."""
_REST_SECONDS = 15.0  # time to close connections
_CONNECT_SECONDS = 30.0  # four tool servers start at once; no rule depends on this


async def run(
    schedule: Schedule,
    out: Path,
    *,
    rate: float = 50.0,
    change_seconds: float = CHANGE_SECONDS,
    settle_seconds: float = SETTLE_SECONDS,
) -> None:
    """Play the schedule on a separate suite under load, and write the histories into the folder."""
    out.mkdir(parents=True, exist_ok=True)
    schedule.save(out / "schedule.json")
    faults = set(schedule.faults)
    environment: dict[str, str] = {}
    with suppress(OSError):  # without a compiler, each clock fault reports that it was skipped
        environment = clock_environment(out) if "F14" in faults else {}
    async with running_rig(
        out,
        proxied=bool(faults & NEED_LINKS),
        environment=environment,
        disks="F11" in faults,
        images=bool(faults & NEED_IMAGES) and "F11" not in faults,
        over_http="F22" in faults,
    ) as rig:
        operations, seen = Operations(out / "operations.jsonl"), Journal(out / "seen.jsonl")
        caller = Caller([rig.client(0), rig.client(1)], operations, random.Random(schedule.seed))
        odd = tuple(tool for fault in schedule.faults for tool in ODD_TOOLS.get(fault, []))
        workload = Workload(caller, schedule.seed, rate, change_seconds, agents_of(faults), odd)
        subscribers = [_subscriber(rig, number, seen, schedule.seed) for number in range(SUBSCRIBERS)]
        try:
            async with dispatches_recorded(rig, out / "dispatches.jsonl"):
                before = await _warm_up(rig, workload, subscribers)
                async with following(subscribers):
                    end = await _play(rig, workload, subscribers, schedule, settle_seconds)
                    await dump(rig, out)
            end["resources"] = {"before": before, "after": await sample_at_rest(rig, before, _REST_SECONDS)}
        finally:
            operations.close()
            seen.close()
        (out / "end.json").write_text(json.dumps(end, indent=1) + "\n", encoding="utf-8")


def _subscriber(rig: Rig, number: int, seen: Journal, seed: int) -> Subscriber:
    name, agent, draw = f"subscriber-{number}", AGENTS[number % len(AGENTS)], random.Random(f"{seed}/{number}")
    if number < SUBSCRIBERS // 2:
        return GrpcSubscriber(name, agent, seen, draw, replicas=[rig.addresses(0), rig.addresses(1)], key=rig.key)
    return SseSubscriber(name, agent, seen, draw, gateway=rig.parts["gateway"].address, key=rig.key)


async def _warm_up(rig: Rig, workload: Workload, subscribers: list[Subscriber]) -> dict[str, Row]:
    """Use everything once, and return the resources of the processes without sessions and subscribers. Then start the
    sessions for the load."""
    await workload.prepare()
    await connected(rig, _CONNECT_SECONDS)
    async with following(subscribers):
        await workload.warm_up()
        await settle(rig, SETTLE_SECONDS)
        await workload.stop_all()
        await caught_up(subscribers, rig, SETTLE_SECONDS)
    before = await sample_at_rest(rig, {}, _REST_SECONDS)
    await workload.start_all()
    await connected(rig, _CONNECT_SECONDS)
    return before


async def _play(
    rig: Rig, workload: Workload, subscribers: list[Subscriber], schedule: Schedule, settle_seconds: float
) -> dict[str, Any]:
    stopping = asyncio.Event()
    load = asyncio.create_task(workload.run(stopping), name="load")
    faults = Faults(rig, workload)
    await faults.play(schedule)
    await rig.heal()
    healed = time.monotonic()
    rig.faults.note(phase="healed", dropped={name: link.dropped for name, link in rig.links.items() if link.dropped})
    stopping.set()
    with suppress(TimeoutError):
        await asyncio.wait_for(load, settle_seconds)
    end = await settle(rig, settle_seconds, healed)
    end["runners_healthy"] = {name: rig.parts[name].is_running for name in rig.named("runner")}
    await workload.stop_all()
    end["stopped"] = (await settle(rig, settle_seconds))["settled"]
    end["caught_up"] = await caught_up(subscribers, rig, settle_seconds / 2)
    return {**end, **await leftovers(rig, 15)}
