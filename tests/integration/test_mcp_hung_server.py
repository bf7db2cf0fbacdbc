"""A server that answers nothing any more is replaced; one that only left a command unanswered is not."""

import asyncio
from pathlib import Path

import pytest

from services.command.domain.failure import FailureCode
from services.command.executors.mcp import connection as module
from services.command.executors.mcp.connection import McpConnection
from tests.support.eventually import eventually
from tests.support.mcp_servers import Recorder, count_of, failure_of, nothing_runs, tool


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
