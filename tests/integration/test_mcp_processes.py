"""The process of a stdio server: how it starts, how it ends, and that nothing of it is ever left."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
import uvloop

from services.command.domain.failure import AttemptFailedError, Failure, FailureCode
from services.command.executors.mcp import orphans
from services.command.executors.mcp.connection import McpConnection
from services.command.ports.executor import Connector
from tests.support.eventually import eventually
from tests.support.mcp_servers import (
    ODD,
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
    text_of,
    tool,
)

LOST, UNAVAILABLE = FailureCode.CONNECTION_LOST, FailureCode.AGENT_UNAVAILABLE


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "record"


@pytest.fixture
async def odd(tmp_path: Path, record: Path) -> AsyncIterator[McpConnection]:
    async with connected(tmp_path, stdio(ODD, "plain", str(record))) as connection:
        yield connection


def cwd_of(pid: int) -> str:
    return str(Path(f"/proc/{pid}/cwd").readlink())


def exists(path: str) -> bool:
    return Path(path).exists()


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def started_by(record: Path, count: int) -> bool:
    return record.exists() and len(recorded_pids(record)) == count


async def refusal_of(folder: Path, entry: dict[str, Any]) -> Failure:
    with pytest.raises(AttemptFailedError) as caught:
        await executor(folder, one=entry).connect(SESSION, Connector("mcp", "one"))
    return caught.value.failure


async def held(connection: McpConnection, record: Path, count: int = 1) -> list[asyncio.Task[Failure]]:
    """Executions that the server has received and does not answer."""
    before = count_of('"tools/call"', record)
    tasks = [asyncio.create_task(failure_of(connection, tool("hold"))) for _ in range(count)]
    await eventually(lambda: count_of('"tools/call"', record) == before + count)
    return tasks


async def test_the_server_sees_nothing_of_the_runners_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "secret")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    async with connected(tmp_path, stdio(ODD, "plain", env={"TZ": "UTC"})) as connection:
        seen = json.loads(text_of(await connection.execute(tool("environment"), Recorder())))
    environment = seen["env"]
    assert environment.pop(orphans.MARK).count(":") == 3
    home = environment.pop("HOME")
    assert environment == {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}
    assert seen["cwd"] == home
    assert not exists(home), "the private directory goes with the connection"


async def test_arguments_arrive_as_they_stand_without_a_shell_and_limits_hold(tmp_path: Path) -> None:
    arguments = ["plain", str(tmp_path / "record"), "$(touch x); *", "", "grüß"]
    entry = stdio(ODD, *arguments, cwd=str(tmp_path), limits={"open_files": 77})
    async with connected(tmp_path, entry) as connection:
        seen = json.loads(text_of(await connection.execute(tool("environment"), Recorder())))
    assert seen["argv"][1:] == arguments
    assert seen["cwd"] == str(tmp_path)
    assert (seen["files"], seen["core"]) == (77, 0)
    assert seen["session"] != os.getsid(0)


@pytest.mark.parametrize("mode", ["plain", "deaf", "parent", "flood"])
async def test_close_leaves_nothing_of_the_group_within_the_grace(tmp_path: Path, record: Path, mode: str) -> None:
    async with connected(tmp_path, stdio(ODD, mode, str(record)), grace=1.5):
        started = time.monotonic()
    assert nothing_runs(record)
    assert time.monotonic() - started < (1.5 if mode == "plain" else 3)


async def test_a_server_that_heeds_the_end_of_its_input_gets_no_signal(tmp_path: Path, record: Path) -> None:
    async with connected(tmp_path, stdio(ODD, "plain", str(record))) as connection:
        pass
    assert "exited with status 0" in connection.diagnosis()


async def test_close_is_idempotent_and_fails_what_runs_uncharged(odd: McpConnection, record: Path) -> None:
    running = await held(odd, record, 2)
    await asyncio.gather(odd.close(1), odd.close(1))
    await odd.close(1)
    for failure in await asyncio.gather(*running):
        assert (failure.code, failure.retryable, failure.charged) == (LOST, True, False)
    assert odd.lost.is_set()
    assert (await failure_of(odd, tool("answer"))).code is LOST


async def test_a_cancelled_close_goes_on_by_itself(tmp_path: Path, record: Path) -> None:
    connection = await executor(tmp_path, one=stdio(ODD, "deaf", str(record))).connect(SESSION, Connector("mcp", "one"))
    closing = asyncio.create_task(connection.close(0.5))
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await eventually(lambda: nothing_runs(record))


@pytest.mark.parametrize(
    ("mode", "words"),
    [("exit", "ended or refused"), ("hang", "not ready within 1 seconds"), ("babble", "")],
)
async def test_a_server_that_does_not_come_up_is_unavailable_and_gone(
    tmp_path: Path, record: Path, mode: str, words: str
) -> None:
    with structlog.testing.capture_logs() as logs:
        failure = await refusal_of(tmp_path, stdio(ODD, mode, str(record), startup_timeout=1))
    assert (failure.code, failure.retryable) == (UNAVAILABLE, True)
    assert words in failure.message
    assert "operator" not in failure.message
    assert str(tmp_path) not in failure.message
    assert nothing_runs(record)
    if mode == "exit":
        assert "exited with status 3" in logs[-1]["diagnosis"]
        assert "a reason for the operator" in logs[-1]["diagnosis"]


@pytest.mark.parametrize("entry", [{"command": "/nowhere/server"}, {"cwd": "/nowhere"}, {"command": "/etc"}])
async def test_a_command_that_cannot_run_is_unavailable(tmp_path: Path, entry: dict[str, str]) -> None:
    failure = await refusal_of(tmp_path, stdio(ODD, "plain") | entry)
    assert (failure.code, failure.retryable) == (UNAVAILABLE, True)
    assert "nowhere" not in failure.message


async def test_a_cancelled_connect_leaves_no_process_behind(tmp_path: Path, record: Path) -> None:
    one = executor(tmp_path, one=stdio(ODD, "hang", str(record)))
    for attempt in range(1, 11):
        connecting = asyncio.create_task(one.connect(SESSION, Connector("mcp", "one")))
        await eventually(partial(started_by, record, attempt))
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert nothing_runs(record)
    # And at the very first moments, when there may be no process yet.
    for turns in range(10):
        connecting = asyncio.create_task(one.connect(SESSION, Connector("mcp", "one")))
        for _ in range(turns):
            await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
    assert nothing_runs(record)
    assert [task for task in asyncio.all_tasks() if "mcp connection" in task.get_name()] == []


async def test_the_death_of_an_idle_server_is_known_at_once(odd: McpConnection, record: Path) -> None:
    os.kill(recorded_pids(record)[0], signal.SIGKILL)
    started = time.monotonic()
    await asyncio.wait_for(odd.lost.wait(), 5)
    assert time.monotonic() - started < 2
    failure = await failure_of(odd, tool("answer"))
    assert (failure.code, failure.retryable, failure.charged) == (LOST, True, False)
    await odd.close(1)
    assert "SIGKILL" in odd.diagnosis()


async def test_the_death_is_known_too_while_a_grandchild_holds_the_pipes(tmp_path: Path, record: Path) -> None:
    async with connected(tmp_path, stdio(ODD, "parent", str(record))) as connection:
        server, grandchild = recorded_pids(record)
        os.kill(server, signal.SIGKILL)
        await asyncio.wait_for(connection.lost.wait(), 5)
        await eventually(lambda: not runs(grandchild))


async def test_a_crash_is_charged_to_the_command_that_was_alone(tmp_path: Path) -> None:
    async with connected(tmp_path, stdio(TRIAL, "--state", str(tmp_path))) as connection:
        failure = await failure_of(connection, tool("crash"))
        assert (failure.code, failure.retryable, failure.charged) == (LOST, True, True)
        assert connection.lost.is_set()


async def test_a_crash_is_charged_to_nobody_when_several_ran(odd: McpConnection, record: Path) -> None:
    running = await held(odd, record, 3)
    os.kill(recorded_pids(record)[0], signal.SIGKILL)
    for failure in await asyncio.gather(*running):
        assert (failure.code, failure.retryable, failure.charged) == (LOST, True, False)


async def test_a_stopped_server_does_not_hold_up_a_cancellation_or_close(odd: McpConnection, record: Path) -> None:
    [server] = recorded_pids(record)
    os.kill(server, signal.SIGSTOP)
    arguments = {"text": "x" * 1_000_000}  # more than the pipe holds
    running = [asyncio.create_task(odd.execute(tool("answer", arguments), Recorder())) for _ in range(3)]
    await asyncio.sleep(0)
    started = time.monotonic()
    for one in running:
        one.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert time.monotonic() - started < 2
    await odd.close(0.5)
    assert nothing_runs(record)
    assert time.monotonic() - started < 4


RUNNER = """
import asyncio, sys
from pathlib import Path
from services.command.ports.executor import Connector
from tests.support.mcp_servers import ODD, SESSION, executor, stdio

async def main():
    await executor(Path(sys.argv[1]), one=stdio(ODD, sys.argv[2], sys.argv[3])).connect(SESSION, Connector("mcp", "one"))
    print("connected", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""  # noqa: E501


def killed_runner(folder: Path, mode: str, record: Path) -> None:
    """Run a runner that connects to an odd server, and kill it as the kernel would for want of memory."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", RUNNER, str(folder), mode, str(record)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as runner:
        assert runner.stdout
        assert runner.stdout.readline() == b"connected\n"
        runner.kill()


async def test_a_killed_runner_takes_its_servers_with_it(tmp_path: Path, record: Path) -> None:
    await asyncio.to_thread(killed_runner, tmp_path, "deaf", record)
    await eventually(lambda: nothing_runs(record))


@pytest.mark.parametrize("mode", ["parent", "runaway"])
async def test_a_sweep_kills_what_a_killed_runner_left(tmp_path: Path, record: Path, mode: str) -> None:
    await asyncio.to_thread(killed_runner, tmp_path, mode, record)
    server, grandchild = recorded_pids(record)
    await eventually(lambda: not runs(server))
    assert runs(grandchild)
    directory = cwd_of(grandchild)
    assert exists(directory)
    assert grandchild in await executor(tmp_path).sweep()
    await eventually(lambda: nothing_runs(record))
    assert not exists(directory)


async def test_a_sweep_spares_what_is_connected_and_kills_what_left_its_group(tmp_path: Path, record: Path) -> None:
    one = executor(tmp_path, one=stdio(ODD, "runaway", str(record)))
    connection = await one.connect(SESSION, Connector("mcp", "one"))
    server, runaway = recorded_pids(record)
    assert not {server, runaway} & set(await one.sweep())
    await connection.close(1)
    assert runs(runaway)
    assert runaway in await one.sweep()
    await eventually(lambda: nothing_runs(record))


async def test_a_hundred_connections_leave_no_process_no_task_and_no_descriptor(tmp_path: Path, record: Path) -> None:
    one = executor(tmp_path, one=stdio(ODD, "plain", str(record)))
    tasks, descriptors = len(asyncio.all_tasks()), open_descriptors()
    for _ in range(10):
        connections = await asyncio.gather(*(one.connect(SESSION, Connector("mcp", "one")) for _ in range(10)))
        running = [asyncio.create_task(c.execute(tool("hold"), Recorder())) for c in connections]
        await asyncio.sleep(0)
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.gather(*(connection.close(2) for connection in connections))
    assert len(recorded_pids(record)) == 100
    assert nothing_runs(record)
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
    await eventually(lambda: open_descriptors() <= descriptors + 1)


def test_all_of_it_works_on_uvloop_as_the_runner_uses_it(tmp_path: Path, record: Path) -> None:
    async def story() -> None:
        async with connected(tmp_path, stdio(ODD, "parent", str(record))) as connection:
            assert text_of(await connection.execute(tool("answer"), Recorder())) == "an answer"
            failure = await failure_of(connection, tool("hold", timeout=0.1))
            assert failure.code is FailureCode.COMMAND_TIMEOUT
            await connection.close(1)
        assert nothing_runs(record)
        async with connected(tmp_path, stdio(ODD, "plain")) as connection:
            assert text_of(await connection.execute(tool("last"), Recorder())) == "last words"
            await asyncio.wait_for(connection.lost.wait(), 5)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())
