"""Stdio servers whose answers are late, invalid, too large or missing, and the messages that they receive."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from libs.attempts import FailureCode
from services.runner.executors.mcp.connection import McpConnection
from tests.support.eventually import eventually
from tests.support.mcp_servers import (
    MISBEHAVING,
    Recorder,
    command,
    connected,
    count_of,
    failure_of,
    messages,
    nothing_runs,
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
    async with connected(tmp_path, stdio(MISBEHAVING, "plain", str(record))) as connection:
        yield connection


async def test_banner_and_noise_on_stdout_are_skipped(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        async with connected(tmp_path, stdio(MISBEHAVING, "banner")) as connection:
            assert text_of(await connection.execute(tool("answer"), Recorder())) == "an answer"
    assert [line["event"] for line in logs].count("stdout_not_mcp") == 1


async def test_flood_on_stderr_does_not_block_the_server(tmp_path: Path) -> None:
    async with connected(tmp_path, stdio(MISBEHAVING, "flood")) as connection:
        assert text_of(await connection.execute(tool("answer"), Recorder())) == "an answer"
    assert connection.diagnosis().rstrip("'").endswith("the end of the flood")


async def test_last_answer_of_an_exiting_server_is_received(odd: McpConnection) -> None:
    assert text_of(await odd.execute(tool("last"), Recorder())) == "last words"
    await asyncio.wait_for(odd.lost.wait(), 5)


async def test_server_that_closes_its_output_is_lost_and_ended(odd: McpConnection, record: Path) -> None:
    failure = await failure_of(odd, tool("silence"))
    assert (failure.code, failure.charged) == (LOST, True)
    await odd.close(2)
    assert nothing_runs(record)


@pytest.mark.parametrize(("name", "text"), [("text", "a\ufffdb\ufffdc"), ("bytes", "a\ufffd\ufffdb")])
async def test_broken_text_in_a_result_is_replaced(odd: McpConnection, name: str, text: str) -> None:
    assert text_of(await odd.execute(tool(name), Recorder())) == text


async def test_number_too_large_for_storage_becomes_a_string(odd: McpConnection) -> None:
    result = await odd.execute(tool("numbers"), Recorder())
    assert result["structuredContent"] == {"big": "123456789012345678901234567890"}


async def test_overlong_answer_fails_only_its_command(odd: McpConnection) -> None:
    failure = await failure_of(odd, tool("long", {"bytes": 33 * 1024 * 1024}))
    assert (failure.code, failure.retryable) == (FailureCode.RESULT_TOO_LARGE, False)
    assert text_of(await odd.execute(tool("answer"), Recorder())) == "an answer"


async def test_invalid_answer_is_a_protocol_error(odd: McpConnection) -> None:
    failure = await failure_of(odd, tool("wrong"))
    assert (failure.code, failure.retryable) == (FailureCode.AGENT_PROTOCOL_ERROR, False)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (-32601, FailureCode.COMMAND_TYPE_UNKNOWN),
        (-32602, FailureCode.INVALID_ARGUMENTS),
        (-32603, FailureCode.AGENT_PROTOCOL_ERROR),
        (-32000, FailureCode.AGENT_PROTOCOL_ERROR),  # also the SDK's own code for a closed connection
    ],
)
async def test_each_protocol_error_has_its_failure_code(odd: McpConnection, code: int, expected: FailureCode) -> None:
    failure = await failure_of(odd, tool("refuse", {"code": code}))
    assert (failure.code, failure.retryable) == (expected, False)
    assert "refused" in failure.message
    again = await failure_of(odd, tool("refuse", {"code": code}, retry_tool_errors=True))
    assert again.retryable is (expected is FailureCode.AGENT_PROTOCOL_ERROR)


@pytest.mark.parametrize("way", ["grow", "sneak"])
async def test_tool_added_later_is_found(odd: McpConnection, way: str) -> None:
    """An unknown name causes one new listing, whether or not the server announced a change."""
    assert (await failure_of(odd, tool("new"))).code is FailureCode.TOOL_NOT_FOUND
    await odd.execute(tool(way, {"name": "new"}), Recorder())
    assert text_of(await odd.execute(tool("new"), Recorder())) == "an answer"


async def test_call_of_a_known_tool_does_not_list_tools_again(odd: McpConnection, record: Path) -> None:
    for _ in range(3):
        await odd.execute(tool("answer"), Recorder())
    assert count_of('"tools/list"', record) == 1


async def test_log_line_becomes_output_of_the_only_running_command(odd: McpConnection) -> None:
    recorder = Recorder()
    await odd.execute(tool("log"), recorder)
    assert recorder.outputs == [{"kind": "log", "level": "info", "logger": "odd", "data": "a line\ufffd"}]


async def test_cancel_notification_reaches_the_server(odd: McpConnection, record: Path) -> None:
    running = asyncio.create_task(odd.execute(tool("hold"), Recorder()))
    await eventually(lambda: '"tools/call"' in record.read_text())
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    [cancelled] = await eventually(lambda: messages(record, "notifications/cancelled"))
    [request] = messages(record, "tools/call")
    assert cancelled["params"]["requestId"] == request["id"]


NEEDING_MORE = [("read_resource", {"uri": "a://b"}), ("get_prompt", {"name": "greet"})]


@pytest.mark.parametrize(("type_", "params"), NEEDING_MORE)
async def test_command_type_unknown_to_the_server_is_not_retryable(
    odd: McpConnection, type_: str, params: dict[str, str]
) -> None:
    failure = await failure_of(odd, command(type_, params))
    assert (failure.code, failure.retryable) == (FailureCode.COMMAND_TYPE_UNKNOWN, False)
    assert "no such method" in failure.message


@pytest.mark.parametrize(("type_", "params"), NEEDING_MORE)
async def test_protocol_error_of_a_reading_command_is_retryable(
    tmp_path: Path, type_: str, params: dict[str, str]
) -> None:
    async with connected(tmp_path, stdio(MISBEHAVING, "mangled")) as connection:
        failure = await failure_of(connection, command(type_, params))
        assert (failure.code, failure.retryable) == (FailureCode.AGENT_PROTOCOL_ERROR, True)
        assert text_of(await connection.execute(tool("answer"), Recorder())) == "an answer"


@pytest.mark.parametrize(("mode", "words"), [("mangled", "list"), ("unlisted", "no list today")])
async def test_failed_listing_of_tools_is_retryable(tmp_path: Path, mode: str, words: str) -> None:
    async with connected(tmp_path, stdio(MISBEHAVING, mode)) as connection:
        await connection.execute(tool("grow", {"name": "more"}), Recorder())
        failure = await failure_of(connection, command("list_tools", {}))
        assert (failure.code, failure.retryable) == (FailureCode.AGENT_PROTOCOL_ERROR, True)
        assert words in failure.message
