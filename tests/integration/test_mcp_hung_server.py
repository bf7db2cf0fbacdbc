"""A server that answers nothing any more is replaced; one that only left a command unanswered is not.

Nobody is told whether a cancel was heeded; what is known to heed none is ended with the command.
"""

import asyncio
from pathlib import Path

import pytest

from libs.attempts import FailureCode
from services.runner.executors.mcp import connection as module
from services.runner.executors.mcp.connection import McpConnection
from tests.support.eventually import eventually
from tests.support.mcp_servers import ODD, Recorder, connected, count_of, failure_of, nothing_runs, stdio, tool


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PING_SECONDS", 0.5)


async def test_a_server_that_hangs_after_a_timeout_is_lost_and_its_processes_are_gone(
    odd: McpConnection, record: Path
) -> None:
    beside = asyncio.create_task(failure_of(odd, tool("hold", timeout=60)))
    await eventually(lambda: count_of('"tools/call"', record) == 1)
    assert (await failure_of(odd, tool("stick", timeout=0.3))).code == FailureCode.COMMAND_TIMEOUT
    await asyncio.wait_for(odd.lost.wait(), 10)
    innocent = await beside
    assert (innocent.code, innocent.charged, innocent.details) == (FailureCode.CONNECTION_LOST, False, {})
    await eventually(lambda: nothing_runs(record))
    assert "ping" in odd.diagnosis()


async def test_a_server_that_answers_still_is_kept_after_a_timeout(odd: McpConnection, record: Path) -> None:
    for _ in range(2):
        assert (await failure_of(odd, tool("hold", timeout=0.3))).code == FailureCode.COMMAND_TIMEOUT
    await eventually(lambda: count_of('"ping"', record) >= 1)
    assert (await odd.execute(tool("answer"), Recorder()))["isError"] is False
    assert not odd.lost.is_set()


async def cancelled(connection: McpConnection, name: str, record: Path) -> None:
    """Has a tool called, and cancels that when the server has read it."""
    calls = count_of('"tools/call"', record)
    running = asyncio.create_task(connection.execute(tool(name), Recorder()))
    await eventually(lambda: count_of('"tools/call"', record) > calls)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_server_that_hangs_in_a_cancelled_command_is_lost_and_its_processes_are_gone(
    odd: McpConnection, record: Path
) -> None:
    await cancelled(odd, "stick", record)
    await asyncio.wait_for(odd.lost.wait(), 10)
    await eventually(lambda: nothing_runs(record))


async def test_a_server_that_was_asked_to_cancel_and_answers_still_is_kept(odd: McpConnection, record: Path) -> None:
    await cancelled(odd, "hold", record)
    await eventually(lambda: count_of('"notifications/cancelled"', record) == 1)
    await eventually(lambda: count_of('"ping"', record) == 1)
    assert (await odd.execute(tool("answer"), Recorder()))["isError"] is False
    assert not odd.lost.is_set()


async def test_a_server_that_heeds_no_cancel_is_ended_with_the_command_and_what_ran_beside_it_is_not_charged(
    tmp_path: Path, record: Path
) -> None:
    async with connected(tmp_path, stdio(ODD, "plain", str(record), cancel="kill")) as unheeding:
        beside = asyncio.create_task(failure_of(unheeding, tool("hold", timeout=60)))
        await eventually(lambda: count_of('"tools/call"', record) == 1)
        await cancelled(unheeding, "hold", record)
        innocent = await beside
        assert (innocent.code, innocent.charged, innocent.details) == (FailureCode.CONNECTION_LOST, False, {})
        await eventually(lambda: nothing_runs(record))
        assert "heeds no cancel" in unheeding.diagnosis()
