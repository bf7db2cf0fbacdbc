"""Kills: kills a runner that holds commands, and measures how long it takes until each is claimed again."""

import asyncio
from pathlib import Path

from tests.chaos.proofs.figures import Figure, Spans, Tally
from tests.chaos.proofs.fleet import DEFAULTS, LEASE, Fleet, running_fleet
from tests.chaos.proofs.holders import database_time, ended, hold, holder, leased, repeated
from tests.chaos.settle import rows

KILLS = 20
HELD = 20
AGENTS = [f"tool-{number}" for number in range(1, 5)]
_AIM = LEASE + 5.0  # seconds
_PATIENCE = 60.0  # seconds
_NEXT = """
select extract(epoch from started_at)::float8 from command.attempts
where command_id = any (%s::uuid[]) and attempt = 2
"""


async def run(out: Path, times: int, seed: int) -> list[Figure]:
    """Kill runners `times` times, under the default lease. The aim for the slowest claim is the lease plus 5 s.

    Both ends of a span are measured by the database's clock: just before the kill, and in the claim.
    """
    async with running_fleet(out, AGENTS, seed, DEFAULTS) as fleet:
        kills, spoilt = await repeated(times, lambda number: _kill(fleet, number))
        violations = await fleet.conclude()
    many, waits = times * HELD, [seconds for found in kills for seconds in found]
    never = many - len(waits)
    return [
        Spans(
            f"from the kill of the runner that had {HELD} leased to the next claim, under a lease of {LEASE:g} s",
            [*waits, *[_PATIENCE] * never], [(1.0, _AIM)], pending=never,
        ),
        Tally("rounds repeated because a lease had expired by itself", times + spoilt, spoilt),
        Tally("rules violated in the saved run", many, len(violations), most=0),
    ]  # fmt: skip


async def _kill(fleet: Fleet, number: int) -> list[float] | None:
    """Return the seconds until each of the 20 was claimed again, or None if not all were leased before."""
    by = await holder(fleet)
    gate = fleet.gate(f"{number}")
    ids = await hold(fleet, by, HELD, [str(gate), ""])
    if await leased(fleet, by, ids) < HELD:
        gate.touch()
        await ended(fleet, ids)
        return None
    killed_at = await database_time(fleet)
    fleet.rig.faults.note(phase="begin", action="kill", target=by.part.name, runner_id=str(by.runner_id))
    await by.part.kill()
    await asyncio.gather(by.part.start(), ended(fleet, ids, _PATIENCE))
    fleet.rig.faults.note(phase="end", action="kill", target=by.part.name)
    return [at - killed_at for (at,) in await rows(fleet.rig, _NEXT, ids)]
