"""A connection to an MCP server that was never opened, or whose server speaks another protocol."""

from pathlib import Path
from typing import cast

import pytest

from libs.attempts import AttemptFailedError, FailureCode
from services.runner.executors.mcp.connection import McpConnection
from services.runner.executors.mcp.transport import Transport
from services.runner.executors.ports import Connector
from tests.support.mcp_servers import SESSION, executor, failure_of, stdio, tool


class NoTransport:
    """A transport that reaches nothing."""

    grace = 0.0

    def diagnosis(self) -> str:
        return "unused"


async def test_connection_that_was_never_opened_rejects_commands_and_can_be_closed() -> None:
    connection = McpConnection("one", cast(Transport, NoTransport()))
    failure = await failure_of(connection, tool("any"))
    assert (failure.code, failure.charged) == (FailureCode.CONNECTION_LOST, False)
    await connection.close(5)
    assert connection.lost.is_set()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError("Unsupported protocol version from the server: 1999-01-01"), FailureCode.AGENT_PROTOCOL_ERROR),
        (ValueError("not an answer to initialize"), FailureCode.AGENT_PROTOCOL_ERROR),
        (FileNotFoundError("/secret/path"), FailureCode.AGENT_UNAVAILABLE),
        (TimeoutError(), FailureCode.AGENT_UNAVAILABLE),
    ],
)
async def test_server_that_cannot_be_used_fails_the_connect_without_details(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: FailureCode
) -> None:
    async def open_(_: McpConnection) -> None:
        raise error

    monkeypatch.setattr(McpConnection, "open", open_)
    with pytest.raises(AttemptFailedError) as caught:
        await executor(tmp_path, one=stdio("-c", "pass")).connect(SESSION, Connector("mcp", "one"))
    failure = caught.value.failure
    assert failure.code == code
    assert "'one'" in failure.message
    assert "/secret" not in failure.message
    assert "1999" not in failure.message
