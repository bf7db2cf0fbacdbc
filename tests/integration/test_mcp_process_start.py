"""The start of a stdio server's process. A failed or cancelled start leaves nothing behind."""

import asyncio
import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog

from libs.attempts import (
    AttemptFailedError,
    Failure,
    FailureCode,
)
from services.runner.executors.mcp import orphans
from services.runner.executors.ports import Connector
from tests.support.eventually import eventually
from tests.support.mcp_servers import (
    MISBEHAVING,
    SESSION,
    Recorder,
    connected,
    executor,
    nothing_runs,
    recorded_pids,
    stdio,
    text_of,
    tool,
)
from tests.support.misbehaving_connections import exists

UNAVAILABLE = FailureCode.AGENT_UNAVAILABLE


def started_by(record: Path, count: int) -> bool:
    return record.exists() and len(recorded_pids(record)) == count


async def error_of(folder: Path, entry: dict[str, Any]) -> Failure:
    with pytest.raises(AttemptFailedError) as caught:
        await executor(folder, one=entry).connect(SESSION, Connector("mcp", "one"))
    return caught.value.failure


async def test_server_does_not_inherit_the_environment_of_the_runner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "secret")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    async with connected(tmp_path, stdio(MISBEHAVING, "plain", env={"TZ": "UTC"})) as connection:
        seen = json.loads(text_of(await connection.execute(tool("environment"), Recorder())))
    environment = seen["env"]
    assert environment.pop(orphans.MARK).count(":") == 3
    home = environment.pop("HOME")
    assert environment == {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}
    assert seen["cwd"] == home
    assert not exists(home), "the private directory is deleted with the connection"


async def test_arguments_arrive_unchanged_and_limits_hold(tmp_path: Path) -> None:
    arguments = ["plain", str(tmp_path / "record"), "$(touch x); *", "", "grüß"]
    entry = stdio(MISBEHAVING, *arguments, cwd=str(tmp_path), limits={"open_files": 77})
    async with connected(tmp_path, entry) as connection:
        seen = json.loads(text_of(await connection.execute(tool("environment"), Recorder())))
    assert seen["argv"][1:] == arguments
    assert seen["cwd"] == str(tmp_path)
    assert (seen["files"], seen["core"]) == (77, 0)
    assert seen["session"] != os.getsid(0)


@pytest.mark.parametrize(
    ("mode", "message"),
    [("exit", "exited or refused"), ("hang", "not ready within 1 seconds"), ("babble", "")],
)
async def test_server_that_does_not_start_is_unavailable_and_ended(
    tmp_path: Path, record: Path, mode: str, message: str
) -> None:
    with structlog.testing.capture_logs() as logs:
        failure = await error_of(tmp_path, stdio(MISBEHAVING, mode, str(record), startup_timeout=1))
    assert (failure.code, failure.retryable) == (UNAVAILABLE, True)
    assert message in failure.message
    assert "operator" not in failure.message
    assert str(tmp_path) not in failure.message
    assert nothing_runs(record)
    if mode == "exit":
        assert "exited with status 3" in logs[-1]["diagnosis"]
        assert "a reason for the operator" in logs[-1]["diagnosis"]


@pytest.mark.parametrize("entry", [{"command": "/nowhere/server"}, {"cwd": "/nowhere"}, {"command": "/etc"}])
async def test_server_whose_command_cannot_run_is_unavailable(tmp_path: Path, entry: dict[str, str]) -> None:
    failure = await error_of(tmp_path, stdio(MISBEHAVING, "plain") | entry)
    assert (failure.code, failure.retryable) == (UNAVAILABLE, True)
    assert "nowhere" not in failure.message


async def test_cancelled_connect_leaves_no_process(tmp_path: Path, record: Path) -> None:
    mcp = executor(tmp_path, one=stdio(MISBEHAVING, "hang", str(record)))
    for attempt in range(1, 11):
        connecting = asyncio.create_task(mcp.connect(SESSION, Connector("mcp", "one")))
        await eventually(partial(started_by, record, attempt))
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert nothing_runs(record)
    # Cancel also in the first iterations of the loop, before the process may exist.
    for turns in range(10):
        connecting = asyncio.create_task(mcp.connect(SESSION, Connector("mcp", "one")))
        for _ in range(turns):
            await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
    assert nothing_runs(record)
    assert [task for task in asyncio.all_tasks() if "mcp connection" in task.get_name()] == []
