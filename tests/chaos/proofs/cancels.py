"""Cancels: running tools are cancelled in every mode, and how long it takes until their processes are gone.

Each call of the tool runs a process of its own, a child of the session's MCP server, and ends it when it heeds a
cancel. A tool that does not heed it runs for good, so its process ends only when something ends it: the servers of
those are in the catalogue as such (`cancel = "kill"`). To be killed, by that or by the caller, means the server too.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from callboard.commands.v1.commands_pb2 import (
    CANCEL_MODE_GRACEFUL,
    CANCEL_MODE_IMMEDIATE,
    CANCEL_MODE_KILL,
    CancelCommandRequest,
    CancelMode,
)
from tests.chaos.calls import CALL_SECONDS
from tests.chaos.process_faults import tools
from tests.chaos.proofs.figures import Figure, Spans, Tally
from tests.chaos.proofs.fleet import DEFAULTS, Fleet, running_fleet
from tests.chaos.proofs.processes import Watched, orphans
from tests.chaos.settle import until
from tests.support.eventually import eventually

CANCELS = 1_000
_AIM = 5.0  # seconds
_BEGIN_SECONDS = 120.0
_PATIENCE = 20.0  # seconds; what has not ended by then never does
_LEFT_SECONDS = 15.0
_SESSIONS_AT_ONCE = 12


@dataclass(frozen=True)
class Case:
    """A way to be cancelled. Each has `sessions` of its own, which hold and cancel `together` commands at once."""

    name: str
    mode: CancelMode.ValueType
    heeds: bool
    share: float
    sessions: int
    together: int

    @property
    def agents(self) -> list[str]:
        return [f"{self.name.replace(', ', '-').replace(' ', '-')}-{number}" for number in range(1, self.sessions + 1)]


CASES = (
    Case("graceful, heeded", CANCEL_MODE_GRACEFUL, True, 0.4, 8, 5),
    Case("graceful, not heeded", CANCEL_MODE_GRACEFUL, False, 0.1, 12, 1),
    Case("immediate, heeded", CANCEL_MODE_IMMEDIATE, True, 0.2, 4, 5),
    Case("immediate, not heeded", CANCEL_MODE_IMMEDIATE, False, 0.1, 12, 1),
    Case("kill", CANCEL_MODE_KILL, False, 0.2, 25, 1),
)


async def run(out: Path, times: int, seed: int, cases: Sequence[Case] = CASES) -> list[Figure]:
    """Cancels so many commands. A span begins with the call of CancelCommand and ends with the processes of the tool,
    as the kernel tells it."""
    agents = [agent for case in cases for agent in case.agents]
    unheeding = {agent for case in cases if not case.heeds and case.mode != CANCEL_MODE_KILL for agent in case.agents}
    async with running_fleet(out, agents, seed, DEFAULTS, unheeding=unheeding) as fleet:
        limit = asyncio.Semaphore(_SESSIONS_AT_ONCE)
        found = await asyncio.gather(*(_case(fleet, case, max(1, round(times * case.share)), limit) for case in cases))
        left_alone = orphans(out, [fleet.rig.parts[name].pid for name in fleet.rig.named("runner")])
        violations = await fleet.conclude()
        await until(lambda: _nothing_runs(fleet), _LEFT_SECONDS)
        left = tools(out)
    started = {row[kind] for row in fleet.effects.all for kind in ("pid", "child")}
    return [
        *(_spans(case, spans) for case, spans in zip(cases, found, strict=True)),
        Tally("tool processes without a parent, before the sessions' stop", len(started), len(left_alone), most=0),
        Tally("tool processes left once the sessions have stopped", len(started), len(left), most=0),
        Tally("rules violated in the saved run", times, len(violations), most=0),
    ]


def _spans(case: Case, spans: Sequence[float | None]) -> Spans:
    what = "tool's process" if case.heeds else "tool's and the server's processes"
    seconds = [_PATIENCE if span is None else span for span in spans]
    return Spans(f"{case.name}: from the cancel to the end of the {what}", seconds, [(0.99, _AIM)], spans.count(None))


async def _case(fleet: Fleet, case: Case, many: int, limit: asyncio.Semaphore) -> list[float | None]:
    shares = [many // case.sessions + (number < many % case.sessions) for number in range(case.sessions)]
    found = await asyncio.gather(
        *(_session(fleet, case, agent, share, limit) for agent, share in zip(case.agents, shares, strict=True))
    )
    return [span for spans in found for span in spans]


async def _session(fleet: Fleet, case: Case, agent: str, many: int, limit: asyncio.Semaphore) -> list[float | None]:
    spans: list[float | None] = []
    while len(spans) < many:
        together = min(case.together, many - len(spans))
        async with limit:
            ids = await fleet.submit_round([agent], together, heeds=case.heeds, process=True)
            spans += await asyncio.gather(*(_cancelled(fleet, case, id_) for id_ in ids))
    return spans


async def _cancelled(fleet: Fleet, case: Case, command_id: str) -> float | None:
    """Cancels a command once its tool runs; returns the seconds, None when a process of it runs on."""
    begun = await eventually(lambda: fleet.effects.last(command_id, "start"), _BEGIN_SECONDS)
    assert begun is not None
    pids = [begun["child"]] if case.heeds else [begun["child"], begun["pid"]]
    watched = [Watched(pid) for pid in pids]
    request = CancelCommandRequest(command_id=command_id, mode=case.mode)
    began = asyncio.get_running_loop().time()
    phase, _ = await fleet.caller.once(
        "cancel",
        lambda client: client.commands.CancelCommand(request, timeout=CALL_SECONDS),
        lambda answer: {"state": answer.command.state},
        command_id=command_id, case=case.name,
    )  # fmt: skip
    assert phase == "ok", f"the cancel of {command_id} ended with {phase}"
    gone = await asyncio.gather(*(process.gone(began + _PATIENCE) for process in watched))
    ends = [at for at in gone if at is not None]
    return max(ends) - began if len(ends) == len(watched) else None


async def _nothing_runs(fleet: Fleet) -> bool:
    return not tools(fleet.rig.out)
