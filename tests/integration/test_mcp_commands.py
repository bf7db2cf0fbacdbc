"""The four command types, with the trial server over both transports and with mcp-server-time."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from libs.attempts import AttemptFailedError, FailureCode
from services.runner.executors.mcp.connection import McpConnection
from services.runner.executors.ports import Connector
from tests.support.eventually import eventually
from tests.support.mcp_servers import (
    SESSION,
    TRIAL,
    Recorder,
    command,
    connected,
    executor,
    failure_of,
    stdio,
    text_of,
    tool,
    trial_over_http,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow(10)]
TRANSPORTS = ["stdio", "http"]
ARGUMENT = FailureCode.INVALID_ARGUMENTS
INVALID: list[tuple[str, dict[str, Any], FailureCode, str]] = [
    ("run_tool", {}, ARGUMENT, "params.tool: is required"),
    ("run_tool", {"tool": "echo", "arguments": "text"}, ARGUMENT, "params.arguments: must be an object"),
    ("run_tool", {"tool": "echo", "arguments": {}}, ARGUMENT, "'text' is a required property"),
    ("run_tool", {"tool": "echo", "args": {}}, ARGUMENT, "params.args: is an unknown field"),
    ("run_tool", {"tool": "nope"}, FailureCode.TOOL_NOT_FOUND, "no tool 'nope'"),
    ("list_tools", {"all": True}, ARGUMENT, "params.all: is an unknown field"),
    ("read_resource", {}, ARGUMENT, "params.uri: is required"),
    ("read_resource", {"uri": "trial://nope"}, FailureCode.TOOL_NOT_FOUND, "trial://nope"),
    ("get_prompt", {"name": "nope"}, FailureCode.TOOL_NOT_FOUND, "no prompt 'nope'"),
    ("get_prompt", {"name": "greet"}, ARGUMENT, "params.arguments.name: is required"),
    ("get_prompt", {"name": "greet", "arguments": {"name": 1}}, ARGUMENT, "must be a string"),
    (
        "run_shell",
        {},
        FailureCode.COMMAND_TYPE_UNKNOWN,
        "run_tool, list_tools, read_resource, get_prompt",
    ),
]


@asynccontextmanager
async def connected_to_trial(transport: str, folder: Path) -> AsyncIterator[McpConnection]:
    """Yield a connection to a new trial server."""
    with ExitStack() as stack:
        if transport == "http":
            url, _ = stack.enter_context(trial_over_http(folder))
            entry: Mapping[str, Any] = {"transport": "http", "url": url}
        else:
            entry = stdio(TRIAL, "--state", str(folder / "state"), "--effects", str(folder / "effects"))
        async with connected(folder, entry) as connection:
            yield connection


@pytest_asyncio.fixture(loop_scope="module", params=TRANSPORTS)
async def trial(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[McpConnection]:
    """Yield a connection to a trial server for one test, with the test's folder."""
    async with connected_to_trial(request.param, tmp_path) as connection:
        yield connection


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=TRANSPORTS)
async def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[McpConnection]:
    """Yield a connection for tests that depend neither on earlier tests nor on the server's folder."""
    async with connected_to_trial(request.param, tmp_path_factory.mktemp("shared")) as connection:
        yield connection


def effects(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "effects").read_text().splitlines()]


def happened(folder: Path, count: int) -> bool:
    return len(effects(folder)) >= count


async def test_connection_describes_the_server(shared: McpConnection) -> None:
    described = shared.description
    assert (described["name"], described["version"]) == ("callboard-trial", "1.0.0")
    assert {"echo", "count", "sleep", "flaky", "fail", "crash", "big", "note", "notes"} == set(described["tools"])
    assert described["protocolVersion"]
    assert "tools" in described["capabilities"]
    assert len(described["toolsDigest"]) == 64
    json.dumps(described)


async def test_tool_result_has_the_documented_shape(shared: McpConnection) -> None:
    result = await shared.execute(tool("echo", {"text": "grüß dich"}), Recorder())
    assert result == {
        "content": [{"type": "text", "text": "grüß dich"}],
        "structuredContent": {"result": "grüß dich"},
        "isError": False,
    }


async def test_server_receives_command_id_and_attempt(trial: McpConnection, tmp_path: Path) -> None:
    await trial.execute(tool("echo", {"text": "a"}, command_id="c-7", attempt=3), Recorder())
    recorded = [(e["tool"], e["phase"], e["commandId"], e["attempt"]) for e in effects(tmp_path)]
    assert recorded == [("echo", "start", "c-7", 3), ("echo", "end", "c-7", 3)]


async def test_progress_is_reported_in_order(shared: McpConnection) -> None:
    recorder = Recorder()
    await shared.execute(tool("count", {"to": 5, "delay": 0.01}), recorder)
    assert recorder.steps == [(float(step), 5.0, f"{step} of 5") for step in range(1, 6)]


async def test_server_keeps_its_state_between_commands(trial: McpConnection) -> None:
    await trial.execute(tool("note", {"text": "a"}), Recorder())
    await trial.execute(tool("note", {"text": "b"}), Recorder())
    result = await trial.execute(tool("notes"), Recorder())
    assert result["structuredContent"] == {"result": ["a", "b"]}


async def test_executions_run_concurrently(shared: McpConnection) -> None:
    texts = [f"text {number}" for number in range(50)]
    slow = asyncio.create_task(shared.execute(tool("sleep", {"seconds": 30}), Recorder()))
    results = await asyncio.gather(*(shared.execute(tool("echo", {"text": text}), Recorder()) for text in texts))
    assert [text_of(result) for result in results] == texts
    assert not slow.done()
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow


async def test_tools_are_listed_as_mcp_describes_them(shared: McpConnection) -> None:
    listed = (await shared.execute(command("list_tools", {}), Recorder()))["tools"]
    tools = {entry["name"]: entry for entry in listed}
    assert tools["flaky"]["annotations"]["idempotentHint"] is True
    assert tools["echo"]["annotations"]["readOnlyHint"] is True
    assert tools["echo"]["inputSchema"]["required"] == ["text"]


async def test_resource_is_read(shared: McpConnection) -> None:
    result = await shared.execute(command("read_resource", {"uri": "trial://about"}), Recorder())
    assert result["contents"][0]["text"] == "The trial server of Callboard."


async def test_prompt_is_filled_in(shared: McpConnection) -> None:
    params = {"name": "greet", "arguments": {"name": "Ada"}}
    result = await shared.execute(command("get_prompt", params), Recorder())
    assert result["messages"][0]["content"]["text"] == "Please greet Ada warmly."


async def test_invalid_commands_fail_and_are_not_retryable(shared: McpConnection) -> None:
    for type_, params, code, message in INVALID:
        failure = await failure_of(shared, command(type_, params))
        assert (failure.code, failure.retryable, failure.charged) == (code, False, True), (type_, params)
        assert message in failure.message, (type_, params)


async def test_invalid_arguments_are_not_sent_to_the_server(trial: McpConnection, tmp_path: Path) -> None:
    for arguments in ({}, {"text": 1}, {"text": None}):
        assert (await failure_of(trial, tool("echo", arguments))).code is ARGUMENT
    assert effects(tmp_path) == []


async def test_tool_error_is_retryable_only_if_a_repetition_does_no_harm(
    shared: McpConnection,
) -> None:
    failure = await failure_of(shared, tool("fail", {"message": "no paper"}))
    assert (failure.code, failure.retryable) == (FailureCode.TOOL_ERROR, False)
    assert "no paper" in failure.message
    assert (await failure_of(shared, tool("fail", {"message": "m"}, retry_tool_errors=True))).retryable
    failure = await failure_of(shared, tool("flaky", {"key": "k", "failures": 1}))
    assert (failure.code, failure.retryable) == (FailureCode.TOOL_ERROR, True)
    result = await shared.execute(tool("flaky", {"key": "k", "failures": 1}), Recorder())
    assert text_of(result) == "worked at call 2"


async def test_timeout_cancels_the_command_and_keeps_the_connection(trial: McpConnection, tmp_path: Path) -> None:
    failure = await failure_of(trial, tool("sleep", {"seconds": 60}, timeout=0.2))
    assert (failure.code, failure.retryable) == (FailureCode.COMMAND_TIMEOUT, True)
    assert "0.2 seconds" in failure.message
    await eventually(lambda: [e["phase"] for e in effects(tmp_path)] == ["start", "cancelled"])
    assert text_of(await trial.execute(tool("echo", {"text": "still here"}), Recorder())) == "still here"


async def test_result_above_the_limit_is_rejected(shared: McpConnection) -> None:
    limit = 8 * 1024 * 1024
    result = await shared.execute(tool("big", {"bytes": limit - 200}), Recorder())
    assert len(text_of(result)) == limit - 200
    for size in (limit, 40 * 1024 * 1024):
        failure = await failure_of(shared, tool("big", {"bytes": size}, timeout=60))
        assert (failure.code, failure.retryable) == (FailureCode.RESULT_TOO_LARGE, False)
    assert not shared.lost.is_set()


async def test_fifty_cancels_in_a_row_reach_the_server_and_leak_nothing(trial: McpConnection, tmp_path: Path) -> None:
    tasks_before = len(asyncio.all_tasks())
    for number in range(50):
        execution = tool("sleep", {"seconds": 600}, command_id=f"c-{number}")
        running = asyncio.create_task(trial.execute(execution, Recorder()))
        await eventually(partial(happened, tmp_path, 2 * number + 1))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await eventually(partial(happened, tmp_path, 2 * number + 2))
    assert {e["commandId"] for e in effects(tmp_path) if e["phase"] == "cancelled"} == {
        f"c-{number}" for number in range(50)
    }
    assert text_of(await trial.execute(tool("echo", {"text": "usable"}), Recorder())) == "usable"
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks_before)


async def test_fifty_cancels_at_once_leave_the_connection_usable(trial: McpConnection, tmp_path: Path) -> None:
    running = [asyncio.create_task(trial.execute(tool("sleep", {"seconds": 600}), Recorder())) for _ in range(50)]
    await eventually(lambda: len(effects(tmp_path)) == 50)
    for task in running:
        task.cancel()
    assert all(isinstance(r, asyncio.CancelledError) for r in await asyncio.gather(*running, return_exceptions=True))
    assert text_of(await trial.execute(tool("echo", {"text": "usable"}), Recorder())) == "usable"
    await eventually(lambda: len(effects(tmp_path)) >= 100)


async def test_counter_of_the_flaky_tool_survives_its_server(tmp_path: Path) -> None:
    entry = stdio(TRIAL, "--state", str(tmp_path / "state"))
    async with connected(tmp_path, entry) as first:
        await failure_of(first, tool("flaky", {"key": "k", "failures": 1}))
    async with connected(tmp_path, entry) as second:
        result = await second.execute(tool("flaky", {"key": "k", "failures": 1}), Recorder())
        assert text_of(result) == "worked at call 2"


async def test_trial_server_runs_as_a_module() -> None:
    root = str(Path(TRIAL).parents[2])
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "examples.trial_server", "--help", cwd=root, stdout=subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == os.EX_OK
    assert b"--effects" in output


async def test_time_server_returns_the_time(tmp_path: Path) -> None:
    async with connected(tmp_path, stdio("-m", "mcp_server_time")) as connection:
        execution = tool("get_current_time", {"timezone": "UTC"})
        result = json.loads(text_of(await connection.execute(execution, Recorder())))
        assert result["timezone"] == "UTC"
        failure = await failure_of(connection, tool("get_current_time", {}))
        assert (failure.code, failure.retryable) == (ARGUMENT, False)
        failure = await failure_of(connection, tool("get_current_time", {"timezone": "Mars/Base"}))
        assert failure.code is FailureCode.TOOL_ERROR


async def test_unknown_server_is_not_registered(tmp_path: Path) -> None:
    with pytest.raises(AttemptFailedError) as caught:
        await executor(tmp_path).connect(SESSION, Connector("mcp", "/bin/sh"))
    failure = caught.value.failure
    assert (failure.code, failure.retryable) == (FailureCode.SERVER_NOT_REGISTERED, False)
