"""Pauses: stops a runner for longer than its lease, lets another take its commands, and continues it.

Its tools end during the pause, so that their results wait in its pipes when it continues. By then some of the commands
have ended, and some run under the lease of the other runner.
"""

import random
import time
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.history import History
from tests.chaos.proofs.figures import Figure, Spans, Tally
from tests.chaos.proofs.fleet import Fleet, running_fleet
from tests.chaos.proofs.holders import Holder, ended, hold, holder, leased, repeated
from tests.chaos.settle import rows, until
from tests.chaos.stale import stale_writes
from tests.support.suite_process import logged

PAUSES = 50
HELD = 20
LEASE = 1.0  # seconds
SETTINGS = {"CALLBOARD_LEASE": str(LEASE), "CALLBOARD_HEARTBEAT": "0.25"}
AGENTS = [f"tool-{number}" for number in range(1, 5)]
_PAUSE_SECONDS = (2.5, 4.0)
_TAKEN_SECONDS = 30.0
_OVER_SECONDS = 20.0
_TAKEN = """
select count(*) from command.commands
where command_id = any (%s::uuid[]) and attempt > 1 and runner_id is distinct from %s
"""


@dataclass(frozen=True)
class Pause:
    """One pause: how many commands the runner had leased at its beginning, how many tools had ended and how many
    commands had been taken over before its end, and how many seconds it lasted."""

    runner_id: str
    leased: int
    finished: int
    taken: int
    lasted: float


async def run(out: Path, times: int, seed: int) -> list[Figure]:
    """Pause runners `times` times. The aim is that none of them writes about a command that it has lost."""
    draw = random.Random(seed)
    async with running_fleet(out, AGENTS, seed, SETTINGS) as fleet:
        pauses, spoilt = await repeated(times, lambda number: _pause(fleet, number, draw))
        violations = await fleet.conclude()
        runners = [fleet.rig.parts[name] for name in fleet.rig.named("runner")]
        ours = {pause.runner_id for pause in pauses}
        lost = [line for line in logged(runners, "lease_lost") if line["runner_id"] in ours]
        abandoned = logged(runners, "attempt_fenced")
        rejected = [line for line in logged(runners, "attempt_ended") if line["state"] == "fenced"]
    held = times * HELD
    (out / "stale.txt").write_text("\n".join(stale := stale_writes(History(out))), encoding="utf-8")
    return [
        Tally("commands leased by the runner when it was paused", held, sum(p.leased for p in pauses), least=held),
        Tally("of these, taken over before it continued", held, sum(p.taken for p in pauses), least=held),
        Tally("of these, with a result that waited in its pipe", held, sum(p.finished for p in pauses)),
        Tally("stale writes of paused runners", held, len(stale), most=0),
        Tally("rules violated in the saved run", held, len(violations), most=0),
        Tally("paused runners that noticed the loss of their lease", times, len(lost), least=times),
        Tally("attempts abandoned, or rejected as fenced", held, len(abandoned) + len(rejected)),
        Tally("rounds repeated because the short lease had expired by itself", times + spoilt, spoilt),
        Spans("length of a pause", [p.lasted for p in pauses]),
    ]


async def _pause(fleet: Fleet, number: int, draw: random.Random) -> Pause | None:
    """Pause a runner once. Returns None if it had lost its lease before the pause."""
    by = await holder(fleet)
    first, second = fleet.gate(f"{number}-paused"), fleet.gate(f"{number}-continued")
    ids = await hold(fleet, by, HELD // 2, [str(first), ""], reports=True)
    ids += await hold(fleet, by, HELD - HELD // 2, [str(first), str(second)], reports=True)
    fleet.rig.faults.note(phase="begin", action="pause", target=by.part.name, runner_id=str(by.runner_id))
    began, taken = time.monotonic(), 0
    by.part.pause()
    try:
        held = await leased(fleet, by, ids)
        first.touch()
        if held == HELD:
            taken = await _taken(fleet, by, ids, began + draw.uniform(*_PAUSE_SECONDS))
        finished = sum(fleet.effects.line(id_, 1, "end") is not None for id_ in ids)
    finally:
        by.part.resume()
    lasted = time.monotonic() - began
    fleet.rig.faults.note(phase="end", action="pause", target=by.part.name, seconds=lasted, taken=taken)
    if held == HELD:
        await until(lambda: _has_given_up(by), _OVER_SECONDS)
    second.touch()
    await ended(fleet, ids)
    return Pause(str(by.runner_id), held, finished, taken, lasted) if held == HELD else None


async def _taken(fleet: Fleet, by: Holder, ids: list[str], ends: float) -> int:
    """Wait until that time and until all commands have been taken over. Returns how many have."""

    async def all_are() -> bool:
        return time.monotonic() >= ends and await _count_taken(fleet, by, ids) == len(ids)

    await until(all_are, _TAKEN_SECONDS)
    return await _count_taken(fleet, by, ids)


async def _count_taken(fleet: Fleet, by: Holder, ids: list[str]) -> int:
    return int((await rows(fleet.rig, _TAKEN, ids, by.runner_id))[0][0])


async def _has_given_up(by: Holder) -> bool:
    return any(line["runner_id"] == str(by.runner_id) for line in logged([by.part], "lease_lost"))
