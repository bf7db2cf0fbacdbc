"""Plays a schedule: carries out each action, and records when it begins and ends."""

import asyncio
import contextlib
import random
import shutil
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.chaos import broker_faults, disk_faults, process_faults
from tests.chaos.failpoint_faults import live_with_failpoints
from tests.chaos.further_load import further_load, make_agent
from tests.chaos.herd import stampede
from tests.chaos.power import cut_power
from tests.chaos.proxy import BLACKHOLE, CALM, Weather
from tests.chaos.rig import Rig
from tests.chaos.schedule import REPLICAS, RUNNERS_TO_NATS, SERVICES, Schedule, Step
from tests.chaos.tool_servers import bad_answers
from tests.chaos.workload import Workload

_MAX_LATE = 4.0  # seconds; a long step may be late by half its length

Action = Callable[["Faults", Step], Awaitable[None]]


class Faults:
    """Carries out the steps of a schedule on the rig."""

    def __init__(self, rig: Rig, workload: Workload) -> None:
        self.rig = rig
        self.workload = workload
        self.copies: list[Path] = []
        self.herds = 0
        self._busy: dict[str, asyncio.Lock] = {}

    async def play(self, schedule: Schedule) -> None:
        """Begin each step at its time.

        A step waits for another step that has its part down, and is skipped if that takes long. So a slow machine
        gets fewer faults instead of a longer run.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for step in schedule.steps:
                await asyncio.sleep(max(0.0, began + step.at - loop.time()))
                tasks.create_task(self._do(step, began + step.at + max(_MAX_LATE, step.seconds / 2)))
            await asyncio.sleep(max(0.0, began + schedule.seconds - loop.time()))

    async def _do(self, step: Step, latest: float) -> None:
        fields = {"fault": step.fault, "action": step.action, "target": step.target, "options": step.options}
        locks = [self._busy.setdefault(name, asyncio.Lock()) for name in sorted(_touched(step))]
        async with contextlib.AsyncExitStack() as held:
            for lock in locks:
                await held.enter_async_context(lock)
            if asyncio.get_running_loop().time() > latest:
                self.rig.faults.note(phase="late", **fields)
                return
            self.rig.faults.note(phase="begin", **fields)
            problem = ""
            try:
                await ACTIONS[step.action](self, step)
            except OSError as error:  # the machine cannot do it; the run reports that
                problem = f"skipped: {error}"
            self.rig.faults.note(phase="end", problem=problem, **fields)


def _touched(step: Step) -> set[str]:
    if step.action in ("kill_all",):
        return set(SERVICES)
    if step.action == "nats_wipe_full":
        return {step.target, *RUNNERS_TO_NATS}
    if step.action == "failpoints":
        return set(REPLICAS)
    return {step.target} if step.target else set()


async def _kill(faults: Faults, step: Step) -> None:
    part = faults.rig.parts[step.target]
    if part.is_running:
        await part.kill()
    await asyncio.sleep(step.seconds)
    await part.start()


async def _pause(faults: Faults, step: Step) -> None:
    part = faults.rig.parts[step.target]
    targets = [part.pid, *process_faults.children(part.pid)] if step.target == "postgres" else [part.pid]
    process_faults.signal_all(targets, signal.SIGSTOP)
    try:
        await asyncio.sleep(step.seconds)
    finally:
        process_faults.signal_all(targets, signal.SIGCONT)


async def _postgres_immediate(faults: Faults, step: Step) -> None:
    part = faults.rig.parts["postgres"]
    await part.kill(signal.SIGQUIT)
    await asyncio.sleep(step.seconds)
    await part.start()


async def _kill_all(faults: Faults, step: Step) -> None:
    parts = [faults.rig.parts[name] for name in SERVICES]
    await asyncio.gather(*(part.kill() for part in parts if part.is_running))
    await asyncio.gather(*(part.start() for part in parts))


async def _nats_wipe(faults: Faults, step: Step) -> None:
    part = faults.rig.parts["nats"]
    await part.kill()
    await asyncio.to_thread(shutil.rmtree, faults.rig.nats_store, ignore_errors=True)
    await asyncio.sleep(step.seconds)
    await part.start()


async def _nats_wipe_live(faults: Faults, step: Step) -> None:
    """Remove the store while the server runs, then kill the server and start it with an empty store."""
    await asyncio.to_thread(shutil.rmtree, faults.rig.nats_store, ignore_errors=True)
    await asyncio.sleep(step.seconds)
    await _nats_wipe(faults, Step(0, step.fault, "nats_wipe", "nats", 0.1))


async def _nats_wipe_full(faults: Faults, step: Step) -> None:
    """Remove the store while it holds dispatches. The runners receive nothing for a while first, so that dispatches
    that are published meanwhile exist only in the store."""
    links = [faults.rig.links[name] for name in RUNNERS_TO_NATS]
    for link in links:
        link.turn(BLACKHOLE)
    try:
        await asyncio.sleep(step.seconds)
        await _nats_wipe(faults, Step(0, step.fault, "nats_wipe", "nats", 0.1))
    finally:
        for link in links:
            link.turn(CALM)


async def _nats_copy(faults: Faults, step: Step) -> None:
    copy = faults.rig.nats_store.with_name(f"copy-{len(faults.copies)}")
    await asyncio.to_thread(process_faults.copy_while_in_use, faults.rig.nats_store, copy)
    faults.copies.append(copy)


async def _nats_roll_back(faults: Faults, step: Step) -> None:
    part = faults.rig.parts["nats"]
    await part.kill()
    await asyncio.to_thread(shutil.rmtree, faults.rig.nats_store, ignore_errors=True)
    await asyncio.to_thread(shutil.copytree, faults.copies[-1], faults.rig.nats_store)
    await asyncio.sleep(step.seconds)
    await part.start()


async def _cut(faults: Faults, step: Step) -> None:
    faults.rig.links[step.target].cut()


async def _weather(faults: Faults, step: Step) -> None:
    link = faults.rig.links[step.target]
    chosen = {
        "blackhole": BLACKHOLE,
        "one_way": Weather(lost_up=step.options.get("lost") == "up", lost_down=step.options.get("lost") == "down"),
        "latency": Weather(latency=step.options.get("milliseconds", 0) / 1000),
    }[step.action]
    link.turn(chosen)
    try:
        await asyncio.sleep(step.seconds)
    finally:
        link.turn(CALM)


async def _drop_reply(faults: Faults, step: Step) -> None:
    faults.rig.links[step.target].drop_reply(step.options["statement"])


async def _drop_request(faults: Faults, step: Step) -> None:
    faults.rig.links[step.target].drop_request(step.options["statement"])


async def _stampede(faults: Faults, step: Step) -> None:
    faults.herds += 1
    await stampede(faults.workload, f"herd-{faults.herds}", step.seconds, step.options["seed"])


async def _failpoints(faults: Faults, step: Step) -> None:
    faults.herds += 1
    agent, seed = f"further-{faults.herds}", step.options["seed"]
    await make_agent(faults.workload, agent)
    await asyncio.gather(
        live_with_failpoints(faults.rig, step.seconds, seed),
        further_load(faults.workload, agent, step.seconds, seed),
    )


async def _repeat_deliveries(faults: Faults, step: Step) -> None:
    await broker_faults.repeat_deliveries(faults.rig, step.seconds, random.Random(step.options["seed"]))


async def _poison(faults: Faults, step: Step) -> None:
    await broker_faults.publish_poison(faults.rig)


async def _starve(faults: Faults, step: Step) -> None:
    await process_faults.starve(faults.rig.parts[step.target].pid, step.seconds)


async def _out_of_memory(faults: Faults, step: Step) -> None:
    await process_faults.out_of_memory(faults.rig.parts[step.target])


async def _kill_tools(faults: Faults, step: Step) -> None:
    process_faults.signal_all(process_faults.tools(faults.rig.out)[:1], signal.SIGKILL)


async def _answer_badly(faults: Faults, step: Step) -> None:
    with bad_answers(faults.rig.out, step.options["how"]):
        await asyncio.sleep(step.seconds)


async def _clock(faults: Faults, step: Step) -> None:
    await process_faults.jump_clock(faults.rig, step.target, step.seconds, step.options["shift"])


async def _fill(faults: Faults, step: Step) -> None:
    await disk_faults.fill(faults.rig, step.target, step.seconds)


async def _power_cut(faults: Faults, step: Step) -> None:
    await cut_power(faults.rig, step.target, step.seconds)


ACTIONS: dict[str, Action] = {
    "kill": _kill, "pause": _pause, "postgres_immediate": _postgres_immediate, "kill_all": _kill_all,
    "nats_wipe": _nats_wipe, "nats_wipe_live": _nats_wipe_live, "nats_copy": _nats_copy,
    "nats_roll_back": _nats_roll_back, "cut": _cut, "blackhole": _weather, "one_way": _weather, "latency": _weather,
    "nats_wipe_full": _nats_wipe_full, "drop_reply": _drop_reply, "drop_request": _drop_request,
    "stampede": _stampede, "repeat_deliveries": _repeat_deliveries, "poison": _poison,
    "starve": _starve, "out_of_memory": _out_of_memory, "kill_tools": _kill_tools,
    "answer_badly": _answer_badly, "clock": _clock, "fill": _fill, "power_cut": _power_cut, "failpoints": _failpoints,
}  # fmt: skip
