"""The proofs count and measure correctly. One of them runs at its smallest size."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from callboard.commands.v1.commands_pb2 import CANCEL_MODE_KILL
from tests.chaos.history import History
from tests.chaos.journal import Row, write_rows
from tests.chaos.process_faults import tools
from tests.chaos.proofs import cancels
from tests.chaos.proofs.effects import Effects
from tests.chaos.proofs.figures import HEAD, Spans, Tally, table
from tests.chaos.proofs.fleet import SERVER
from tests.chaos.proofs.processes import Watched, orphans
from tests.chaos.stale import stale_writes
from tests.support.eventually import eventually

COMMAND = "01900000-0000-7000-8000-000000000001"


def _history(folder: Path, written: list[tuple[str, str]], attempts: list[tuple[int, str]]) -> History:
    """Return a run of one command with these events (type, runner) and attempts (number, runner)."""
    started = 0
    events: list[Row] = []
    for position, (type_, actor) in enumerate(written, 1):
        started += type_ == "command.started"
        events.append({
            "tenant_id": "acme", "session_id": "s1", "partition": 1, "position": position, "type": type_,
            "actor": actor, "command_id": COMMAND, "payload": json.dumps({"attempt": started}),
        })  # fmt: skip
    write_rows(folder / "events.jsonl", events)
    rows = [{"command_id": COMMAND, "attempt": attempt, "runner_id": runner} for attempt, runner in attempts]
    write_rows(folder / "attempts.jsonl", rows)
    return History(folder)


TAKEN_OVER = [
    ("command.started", "runner:a"), ("command.progress", "runner:a"), ("command.retrying", "callboard:reconciler"),
    ("command.started", "runner:b"), ("command.completed", "runner:b"),
]  # fmt: skip


def test_takeover_is_no_stale_write(tmp_path: Path) -> None:
    assert stale_writes(_history(tmp_path, TAKEN_OVER, [(1, "a"), (2, "b")])) == []


@pytest.mark.parametrize("index", [3, 4, 5])
@pytest.mark.parametrize("type_", ["command.progress", "command.completed", "command.cancel_acknowledged"])
def test_write_after_losing_the_command_is_stale(tmp_path: Path, index: int, type_: str) -> None:
    """Also while no runner holds it, and after its end."""
    written = [*TAKEN_OVER[:index], (type_, "runner:a"), *TAKEN_OVER[index:]]
    assert len(stale_writes(_history(tmp_path, written, [(1, "a"), (2, "b")]))) >= 1


def test_attempt_that_another_runner_ended_is_stale(tmp_path: Path) -> None:
    assert len(stale_writes(_history(tmp_path, TAKEN_OVER, [(1, "a"), (2, "a")]))) == 1


def test_row_shows_percentiles_aim_and_verdict() -> None:
    spans = Spans("from here to there", [float(n) for n in range(101)], [(0.99, 99.0), (1.0, 99.5)])
    assert spans.met is False
    assert spans.row == (
        "| from here to there | 101 | 50.00 s | 99.00 s | 100.00 s | p99 ≤ 99 s, max ≤ 99.5 s | **missed** |"
    )
    assert Spans("x", [1.0], [(0.99, 2.0)]).met is True


def test_span_without_an_end_misses_every_aim() -> None:
    spans = Spans("x", [1.0, 2.0], [(0.99, 5.0)], pending=1)
    assert spans.met is False
    assert "2, 1 of them never" in spans.row
    assert Spans("x", [], [(0.99, 5.0)]).met is False


def test_tally_is_compared_with_its_bounds() -> None:
    assert Tally("x", 10, 0, most=0).met is True
    assert Tally("x", 10, 9, least=10).met is False
    assert Tally("x", 10, 3).met is None
    assert table([Tally("x", 1_000, 2, most=2)]) == f"{HEAD}\n| x | 2 of 1,000 |  |  |  | ≤ 2 | met |"


async def test_tool_process_without_its_server_is_an_orphan(tmp_path: Path) -> None:
    meta = {"callboard/command-id": COMMAND, "callboard/attempt": 1}
    params = {"name": "hold", "arguments": {"process": True}, "_meta": meta}
    call = {"id": 1, "method": "tools/call", "params": params}
    effects = Effects(tmp_path / "effects.jsonl")
    command = [sys.executable, "-S", "-E", str(SERVER), str(tmp_path / "effects.jsonl")]
    server = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE)
    assert server.stdin
    server.stdin.write(json.dumps(call).encode() + b"\n")
    line = await eventually(lambda: effects.line(COMMAND, 1, "start"))
    assert line
    child = Watched(line["child"])
    try:
        assert sorted(tools(tmp_path)) == sorted([server.pid, line["child"]])
        assert orphans(tmp_path, [os.getpid()]) == []
        server.kill()
        await server.wait()
        assert orphans(tmp_path, [os.getpid()]) == [line["child"]]
    finally:
        os.kill(line["child"], signal.SIGKILL)
    assert await child.ended(asyncio.get_running_loop().time() + 5) is not None


@pytest.mark.slow(10)
async def test_killed_tool_leaves_no_process(tmp_path: Path) -> None:
    """Four cancels with mode kill, on a separate suite."""
    kill = cancels.Case("kill", CANCEL_MODE_KILL, stops=False, share=1.0, sessions=2, together=1)
    figures = await cancels.run(tmp_path, 4, seed=1, cases=[kill])
    assert all(figure.met for figure in figures), table(figures)
