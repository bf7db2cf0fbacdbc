"""Cancels: cancels running tools in every mode, and measures how long their processes take to end.

Each tool call runs a process, a child of the session's MCP server, and ends it on a cancel. A tool that ignores cancels
runs forever, so its server is registered with `cancel = "kill"`. A kill, by that setting or by the caller, also ends
the server.
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
_PATIENCE = 20.0  # seconds; a process that has not ended by then never does
_LEFT_SECONDS = 15.0
_SESSIONS_AT_ONCE = 12


@dataclass(frozen=True)
class Case:
    """A kind of cancel. It uses `sessions` sessions, which run and cancel `together` commands at once."""

    name: str
    mode: CancelMode.ValueType
    stops: bool
    """Whether the tool stops on a cancel."""
    share: float
    sessions: int
    together: int

    @property
    def agents(self) -> list[str]:
        return [f"{self.name.replace(', ', '-').replace(' ', '-')}-{number}" for number in range(1, self.sessions + 1)]


CASES = (
    Case("graceful, tool stops", CANCEL_MODE_GRACEFUL, True, 0.4, 8, 5),
    Case("graceful, tool ignores it", CANCEL_MODE_GRACEFUL, False, 0.1, 12, 1),
    Case("immediate, tool stops", CANCEL_MODE_IMMEDIATE, True, 0.2, 4, 5),
    Case("immediate, tool ignores it", CANCEL_MODE_IMMEDIATE, False, 0.1, 12, 1),
    Case("kill", CANCEL_MODE_KILL, False, 0.2, 25, 1),
)


async def run(out: Path, times: int, seed: int, cases: Sequence[Case] = CASES) -> list[Figure]:
    """Cancel `times` commands. A span begins with the call of CancelCommand and ends with the tool's processes."""
    agents = [agent for case in cases for agent in case.agents]
    ignoring = {agent for case in cases if not case.stops and case.mode != CANCEL_MODE_KILL for agent in case.agents}
    async with running_fleet(out, agents, seed, DEFAULTS, ignoring_cancels=ignoring) as fleet:
        limit = asyncio.Semaphore(_SESSIONS_AT_ONCE)
        found = await asyncio.gather(*(_case(fleet, case, max(1, round(times * case.share)), limit) for case in cases))
        left_alone = orphans(out, [fleet.rig.parts[name].pid for name in fleet.rig.named("runner")])
        violations = await fleet.conclude()
        await until(lambda: _nothing_runs(fleet), _LEFT_SECONDS)
        left = tools(out)
    started = {row[kind] for row in fleet.effects.all for kind in ("pid", "child")}
    return [
        *(_spans(case, spans) for case, spans in zip(cases, found, strict=True)),
        Tally("tool processes without a parent, before the sessions stop", len(started), len(left_alone), most=0),
        Tally("tool processes left once the sessions have stopped", len(started), len(left), most=0),
        Tally("rules violated in the saved run", times, len(violations), most=0),
    ]


def _spans(case: Case, spans: Sequence[float | None]) -> Spans:
    what = "tool's process" if case.stops else "tool's and the server's processes"
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
            ids = await fleet.submit_round([agent], together, stops=case.stops, process=True)
            spans += await asyncio.gather(*(_cancelled(fleet, case, id_) for id_ in ids))
    return spans


async def _cancelled(fleet: Fleet, case: Case, command_id: str) -> float | None:
    """Cancel a command once its tool runs. Returns the seconds, or None if a process of the tool is still running."""
    begun = await eventually(lambda: fleet.effects.last(command_id, "start"), _BEGIN_SECONDS)
    assert begun is not None
    pids = [begun["child"]] if case.stops else [begun["child"], begun["pid"]]
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
    found = await asyncio.gather(*(process.ended(began + _PATIENCE) for process in watched))
    ends = [at for at in found if at is not None]
    return max(ends) - began if len(ends) == len(watched) else None


async def _nothing_runs(fleet: Fleet) -> bool:
    return not tools(fleet.rig.out)
