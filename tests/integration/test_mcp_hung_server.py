"""A server that answers nothing is ended. A server that leaves only one command unanswered is kept.

MCP does not confirm cancels. A server that is registered with `cancel = "kill"` is ended when a command is cancelled.
"""

import asyncio
from pathlib import Path

import pytest

from libs.attempts import FailureCode
from services.runner.executors.mcp import connection as module
from services.runner.executors.mcp.connection import McpConnection
from tests.support.eventually import eventually
from tests.support.mcp_servers import MISBEHAVING, Recorder, connected, count_of, failure_of, nothing_runs, stdio, tool


@pytest.fixture(autouse=True)
def _short_ping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PING_SECONDS", 0.5)


async def test_server_that_hangs_after_a_timeout_is_lost_and_killed(odd: McpConnection, record: Path) -> None:
    beside = asyncio.create_task(failure_of(odd, tool("hold", timeout=60)))
    await eventually(lambda: count_of('"tools/call"', record) == 1)
    assert (await failure_of(odd, tool("stick", timeout=0.3))).code == FailureCode.COMMAND_TIMEOUT
    await asyncio.wait_for(odd.lost.wait(), 10)
    innocent = await beside
    assert (innocent.code, innocent.charged, innocent.details) == (FailureCode.CONNECTION_LOST, False, {})
    await eventually(lambda: nothing_runs(record))
    assert "ping" in odd.diagnosis()


async def test_server_that_still_answers_after_a_timeout_is_kept(odd: McpConnection, record: Path) -> None:
    for _ in range(2):
        assert (await failure_of(odd, tool("hold", timeout=0.3))).code == FailureCode.COMMAND_TIMEOUT
    await eventually(lambda: count_of('"ping"', record) >= 1)
    assert (await odd.execute(tool("answer"), Recorder()))["isError"] is False
    assert not odd.lost.is_set()


async def call_and_cancel(connection: McpConnection, name: str, record: Path) -> None:
    """Call a tool, and cancel the call once the server has read it."""
    calls = count_of('"tools/call"', record)
    running = asyncio.create_task(connection.execute(tool(name), Recorder()))
    await eventually(lambda: count_of('"tools/call"', record) > calls)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_server_that_hangs_after_a_cancel_is_lost_and_killed(odd: McpConnection, record: Path) -> None:
    await call_and_cancel(odd, "stick", record)
    await asyncio.wait_for(odd.lost.wait(), 10)
    await eventually(lambda: nothing_runs(record))


async def test_server_that_still_answers_after_a_cancel_is_kept(odd: McpConnection, record: Path) -> None:
    await call_and_cancel(odd, "hold", record)
    await eventually(lambda: count_of('"notifications/cancelled"', record) == 1)
    await eventually(lambda: count_of('"ping"', record) == 1)
    assert (await odd.execute(tool("answer"), Recorder()))["isError"] is False
    assert not odd.lost.is_set()


async def test_cancel_ends_a_server_that_ignores_cancels_and_charges_no_other_command(
    tmp_path: Path, record: Path
) -> None:
    async with connected(tmp_path, stdio(MISBEHAVING, "plain", str(record), cancel="kill")) as connection:
        beside = asyncio.create_task(failure_of(connection, tool("hold", timeout=60)))
        await eventually(lambda: count_of('"tools/call"', record) == 1)
        await call_and_cancel(connection, "hold", record)
        innocent = await beside
        assert (innocent.code, innocent.charged, innocent.details) == (FailureCode.CONNECTION_LOST, False, {})
        await eventually(lambda: nothing_runs(record))
        assert "ignores cancels" in connection.diagnosis()
