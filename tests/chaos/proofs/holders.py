"""Queries which runner holds which sessions and commands."""

import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from tests.chaos.proofs.fleet import Fleet
from tests.chaos.settle import connected, rows, until
from tests.support.eventually import eventually
from tests.support.suite_process import SuiteProcess

Result = TypeVar("Result")
_SECONDS = 60.0
_MAX_SPOILT = 5
_HOLDER = """
select n.runner_id, r.name, array_agg(n.agent_id order by n.agent_id) from command.connections n
join command.runners r using (runner_id) where n.state = 'connected' and r.dead_at is null
group by 1, 2 order by count(*) desc limit 1
"""
_LIVES = "select exists (select from command.runners where runner_id = %s and dead_at is null)"
_LEASED = """
select count(*) from command.commands c join command.runners r using (runner_id)
where c.runner_id = %s and c.command_id = any (%s::uuid[]) and c.state = 'running' and c.lease_token is not null
  and r.dead_at is null and r.lease_until > clock_timestamp()
"""


@dataclass(frozen=True)
class Holder:
    """An incarnation of a runner, its process, and the agents of its sessions."""

    runner_id: UUID
    part: SuiteProcess
    agents: Sequence[str]


async def holder(fleet: Fleet) -> Holder:
    """Wait until all agents are connected, and return the runner with the most sessions."""
    assert await connected(fleet.rig, _SECONDS), "not all agents were connected"
    runner_id, name, agents = (await rows(fleet.rig, _HOLDER))[0]
    return Holder(runner_id, fleet.rig.parts[name], agents)


async def hold(fleet: Fleet, by: Holder, many: int, gates: Sequence[str], *, reports: bool = False) -> list[str]:
    """Submit commands to the runner's agents, and wait until all of their tools run. Returns the ids.

    A short lease can expire by itself on a busy machine. Then this returns early, and `leased` finds fewer than `many`.
    """
    ids = await fleet.submit_round(by.agents, many, gates=gates, reports=reports)

    async def all_begun() -> bool:
        lives = bool((await rows(fleet.rig, _LIVES, by.runner_id))[0][0])
        return not lives or all(fleet.effects.line(id_, 1, "start") for id_ in ids)

    await eventually(all_begun, _SECONDS)
    return ids


async def leased(fleet: Fleet, by: Holder, ids: Sequence[str]) -> int:
    """Return how many of the commands run under this runner's valid lease."""
    return int((await rows(fleet.rig, _LEASED, by.runner_id, list(ids)))[0][0])


async def ended(fleet: Fleet, ids: Sequence[str], seconds: float = _SECONDS) -> None:
    """Wait until all commands have ended, or the time is up. The checker reports commands that never end."""

    async def all_have() -> bool:
        query = "select bool_and(finished_at is not null) from command.commands where command_id = any (%s::uuid[])"
        return bool((await rows(fleet.rig, query, list(ids)))[0][0])

    await until(all_have, seconds)


async def repeated(times: int, work: Callable[[int], Awaitable[Result | None]]) -> tuple[list[Result], int]:
    """Repeat `work` until `times` rounds have a result. Returns the results, and the number of rounds without one."""
    results: list[Result] = []
    for number in itertools.count():
        if len(results) == times:
            break
        assert number - len(results) <= times + _MAX_SPOILT, "the machine is too busy for such a short lease"
        if (result := await work(number)) is not None:
            results.append(result)
    return results, number - times


async def database_time(fleet: Fleet) -> float:
    """Return the database's clock in seconds since 1970."""
    return float((await rows(fleet.rig, "select extract(epoch from clock_timestamp())::float8"))[0][0])
