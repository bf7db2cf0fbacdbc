"""Wipes: removes NATS's store while dispatches are in the stream, and measures how long their republication takes.

Every slot of the runner is busy, so no published command is claimed before all are published again. More commands are
submitted meanwhile.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tests.chaos.faults import Faults
from tests.chaos.proofs.figures import Figure, Spans, Tally
from tests.chaos.proofs.fleet import DEFAULTS, Fleet, running_fleet
from tests.chaos.proofs.holders import database_time, ended, hold, holder, leased
from tests.chaos.schedule import Schedule, Step
from tests.chaos.settle import rows, until

WIPES = 12
IN_FLIGHT = 300
"""The number of commands that are published and not claimed when the stream is removed."""
AGENTS = [f"tool-{number}" for number in range(1, 5)]
_SLOTS = 16
SETTINGS = {**DEFAULTS, "CALLBOARD_RUNNER_SLOTS": str(_SLOTS)}
_KINDS = ("nats_wipe", "nats_wipe_live")
_DOWN_SECONDS = 1.0
_AIM = 30.0  # seconds
_PATIENCE = 60.0  # seconds
_LOAD_INTERVAL = 0.1  # seconds
_IN_FLIGHT = """
select count(distinct epoch), min(epoch), count(*) from command.ready
where command_id = any (%s::uuid[]) and published_seq is not null
"""
_AGAIN = """
select i.id::text, extract(epoch from clock_timestamp())::float8 from unnest(%s::uuid[]) as i(id)
where not exists (select from command.ready d where d.command_id = i.id
                  and (d.published_seq is null or d.epoch = %s))
"""


async def run(out: Path, times: int, seed: int) -> list[Figure]:
    """Wipe the store `times` times, alternately while the broker is down and while it runs.

    A span begins when the broker is killed, or when the store of the running broker is removed. It ends when the
    command is marked as stored in the new stream, detected within 0.2 s. Both are measured by the database's clock.
    """
    async with running_fleet(out, AGENTS, seed, SETTINGS, runners=1) as fleet:
        faults = Faults(fleet.rig, fleet.workload)
        waits = {kind: list[float]() for kind in _KINDS}
        lost = dict.fromkeys(_KINDS, 0)
        for number in range(times):
            kind = _KINDS[number % len(_KINDS)]
            found = await _wipe(fleet, faults, number, kind)
            waits[kind] += [*found, *[_PATIENCE] * (IN_FLIGHT - len(found))]
            lost[kind] += IN_FLIGHT - len(found)
        violations = await fleet.conclude()
        ((open_, many),) = await rows(fleet.rig, "select count(*) - count(finished_at), count(*) from command.commands")
    names = {"nats_wipe": "the wipe of a stopped broker", "nats_wipe_live": "the wipe of a running broker"}
    return [
        *(Spans(f"from {names[kind]} until published again", waits[kind], [(0.99, _AIM)], lost[kind])
          for kind in _KINDS[:times]),
        Tally("commands that have not ended", many, open_, most=0),
        Tally("rules violated in the saved run", many, len(violations), most=0),
    ]  # fmt: skip


async def _wipe(fleet: Fleet, faults: Faults, number: int, kind: str) -> list[float]:
    """Return the seconds until each command was published again, without those that took more than a minute."""
    by, gate = await holder(fleet), fleet.gate(str(number))
    busy = await hold(fleet, by, _SLOTS, [str(gate)])
    assert await leased(fleet, by, busy) == _SLOTS
    ids = await fleet.submit_round(AGENTS, IN_FLIGHT, gates=[""])
    epoch = await _published(fleet, ids)
    step = Step(0.0, "F5", kind, "nats", _DOWN_SECONDS)
    began = await database_time(fleet)
    async with _load(fleet):
        wiping = asyncio.create_task(faults.play(Schedule(number, ("F5",), 0.0, (step,))))
        again = await _published_again(fleet, ids, epoch)
        await wiping
    gate.touch()
    await ended(fleet, [*busy, *ids], _PATIENCE)
    return [at - began for at in again]


async def _published(fleet: Fleet, ids: list[str]) -> str:
    """Wait until all of them are in the stream. Returns its epoch."""

    async def all_do() -> bool:
        return bool((await rows(fleet.rig, _IN_FLIGHT, ids))[0][2] == len(ids))

    assert await until(all_do, _PATIENCE), "not all commands were published"
    epochs, epoch, _ = (await rows(fleet.rig, _IN_FLIGHT, ids))[0]
    assert epochs == 1
    return str(epoch)


async def _published_again(fleet: Fleet, ids: list[str], epoch: str) -> list[float]:
    """Return when each was first seen in another epoch, in seconds of the database's clock."""
    seen: dict[str, float] = {}

    async def all_are() -> bool:
        waiting = [id_ for id_ in ids if id_ not in seen]
        seen.update(await rows(fleet.rig, _AGAIN, waiting, epoch))
        return len(seen) == len(ids)

    await until(all_are, _PATIENCE)
    return list(seen.values())


@contextlib.asynccontextmanager
async def _load(fleet: Fleet) -> AsyncIterator[None]:
    """Submit ten commands a second while the block runs."""

    async def submit() -> None:
        async with asyncio.TaskGroup() as tasks:
            number = 0
            while not over.is_set():
                tasks.create_task(fleet.submit(AGENTS[number % len(AGENTS)], gates=[""]))
                number += 1
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), _LOAD_INTERVAL)

    over = asyncio.Event()
    submitting = asyncio.create_task(submit())
    try:
        yield
    finally:
        over.set()
        await submitting
