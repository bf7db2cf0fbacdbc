"""The end of a stdio server's process: closed within the grace, or dead and detected at once."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from libs.attempts import Failure, FailureCode
from services.runner.executors.mcp.connection import McpConnection
from services.runner.executors.ports import Connector
from tests.support.eventually import eventually
from tests.support.mcp_servers import (
    MISBEHAVING,
    SESSION,
    TRIAL,
    Recorder,
    connected,
    count_of,
    executor,
    failure_of,
    nothing_runs,
    recorded_pids,
    runs,
    stdio,
    tool,
)

LOST = FailureCode.CONNECTION_LOST


async def held(connection: McpConnection, record: Path, count: int = 1) -> list[asyncio.Task[Failure]]:
    """Start executions that the server receives and does not answer."""
    before = count_of('"tools/call"', record)
    tasks = [asyncio.create_task(failure_of(connection, tool("hold"))) for _ in range(count)]
    await eventually(lambda: count_of('"tools/call"', record) == before + count)
    return tasks


@pytest.mark.parametrize("mode", ["plain", "deaf", "parent", "flood"])
async def test_close_ends_the_process_group_within_the_grace(tmp_path: Path, record: Path, mode: str) -> None:
    async with connected(tmp_path, stdio(MISBEHAVING, mode, str(record)), grace=1.5):
        started = time.monotonic()
    assert nothing_runs(record)
    assert time.monotonic() - started < (1.5 if mode == "plain" else 3)


async def test_server_that_exits_at_the_end_of_its_input_gets_no_signal(tmp_path: Path, record: Path) -> None:
    async with connected(tmp_path, stdio(MISBEHAVING, "plain", str(record))) as connection:
        pass
    assert "exited with status 0" in connection.diagnosis()


async def test_close_is_idempotent_and_fails_running_commands_uncharged(odd: McpConnection, record: Path) -> None:
    running = await held(odd, record, 2)
    await asyncio.gather(odd.close(1), odd.close(1))
    await odd.close(1)
    for failure in await asyncio.gather(*running):
        assert (failure.code, failure.retryable, failure.charged) == (LOST, True, False)
    assert odd.lost.is_set()
    assert (await failure_of(odd, tool("answer"))).code is LOST


async def test_cancelled_close_continues_by_itself(tmp_path: Path, record: Path) -> None:
    connection = await executor(tmp_path, one=stdio(MISBEHAVING, "deaf", str(record))).connect(
        SESSION, Connector("mcp", "one")
    )
    closing = asyncio.create_task(connection.close(0.5))
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await eventually(lambda: nothing_runs(record))


async def test_death_of_an_idle_server_is_detected_at_once(odd: McpConnection, record: Path) -> None:
    os.kill(recorded_pids(record)[0], signal.SIGKILL)
    started = time.monotonic()
    await asyncio.wait_for(odd.lost.wait(), 5)
    assert time.monotonic() - started < 2
    failure = await failure_of(odd, tool("answer"))
    assert (failure.code, failure.retryable, failure.charged) == (LOST, True, False)
    await odd.close(1)
    assert "SIGKILL" in odd.diagnosis()


async def test_death_is_detected_while_a_grandchild_holds_the_pipes(tmp_path: Path, record: Path) -> None:
    async with connected(tmp_path, stdio(MISBEHAVING, "parent", str(record))) as connection:
        server, grandchild = recorded_pids(record)
        os.kill(server, signal.SIGKILL)
        await asyncio.wait_for(connection.lost.wait(), 5)
        await eventually(lambda: not runs(grandchild))


async def test_crash_is_charged_to_the_only_running_command(tmp_path: Path) -> None:
    async with connected(tmp_path, stdio(TRIAL, "--state", str(tmp_path))) as connection:
        failure = await failure_of(connection, tool("crash"))
        assert (failure.code, failure.retryable, failure.charged) == (LOST, True, True)
        assert connection.lost.is_set()


async def test_crash_is_not_charged_if_several_commands_ran(odd: McpConnection, record: Path) -> None:
    running = await held(odd, record, 3)
    os.kill(recorded_pids(record)[0], signal.SIGKILL)
    for failure in await asyncio.gather(*running):
        assert (failure.code, failure.retryable, failure.charged) == (LOST, True, False)


async def test_stopped_server_delays_neither_cancel_nor_close(odd: McpConnection, record: Path) -> None:
    [server] = recorded_pids(record)
    os.kill(server, signal.SIGSTOP)
    arguments = {"text": "x" * 1_000_000}  # more than the pipe holds
    running = [asyncio.create_task(odd.execute(tool("answer", arguments), Recorder())) for _ in range(3)]
    await asyncio.sleep(0)
    started = time.monotonic()
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert time.monotonic() - started < 2
    await odd.close(0.5)
    assert nothing_runs(record)
    assert time.monotonic() - started < 4


async def test_death_is_detected_without_pidfd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, record: Path) -> None:
    """As on macOS, where the process is polled."""
    monkeypatch.delattr(os, "pidfd_open")
    async with connected(tmp_path, stdio(MISBEHAVING, "plain", str(record))) as connection:
        (running,) = await held(connection, record)
        os.kill(recorded_pids(record)[0], signal.SIGKILL)
        assert (await asyncio.wait_for(running, 5)).code is LOST
        await asyncio.wait_for(connection.lost.wait(), 5)
    assert nothing_runs(record)
