"""The echo executor, and the selection of an executor by a connector's kind."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from libs.attempts import (
    AttemptFailedError,
    Failure,
    FailureCode,
)
from services.runner.executors import ExecutorRegistry
from services.runner.executors.echo import EchoExecutor
from services.runner.executors.ports import (
    EXECUTION_OPTIONS,
    Connection,
    Connector,
    Execution,
    SessionRef,
)

SESSION = SessionRef(tenant_id="t", session_uid="u", session_id="s", agent_id="a")


class Silent:
    def progress(self, progress: float, total: float | None, message: str | None) -> None:
        raise AssertionError

    def output(self, output: Mapping[str, Any]) -> None:
        raise AssertionError


def execution(type_: str, params: Mapping[str, Any], timeout: float = 10) -> Execution:
    options: dict[str, Any] = dict.fromkeys(EXECUTION_OPTIONS)
    return Execution(
        **options, command_id="c", correlation_id="c", type=type_, params=params, attempt=1, timeout=timeout
    )  # fmt: skip


@pytest.fixture
async def connection() -> Connection:
    registry = ExecutorRegistry({"echo": EchoExecutor()})
    return await registry.connect(SESSION, Connector("echo", "any"))


async def failure_of(connection: Connection, attempted: Execution) -> Failure:
    with pytest.raises(AttemptFailedError) as caught:
        await connection.execute(attempted, Silent())
    return caught.value.failure


async def test_unknown_kind_is_rejected_with_the_known_kinds() -> None:
    registry = ExecutorRegistry({"mcp": EchoExecutor(), "echo": EchoExecutor()})
    with pytest.raises(AttemptFailedError) as caught:
        await registry.connect(SESSION, Connector("shell", "any"))
    failure = caught.value.failure
    assert (failure.code, failure.retryable) == (FailureCode.AGENT_UNAVAILABLE, False)
    assert "'shell'; it has echo, mcp" in failure.message


async def test_echo_returns_its_parameters(connection: Connection) -> None:
    result = await connection.execute(execution("echo", {"a": [1]}), Silent())
    assert result == {"echo": {"a": [1]}}
    assert not connection.lost.is_set()


async def test_sleep_waits_and_returns(connection: Connection) -> None:
    assert await connection.execute(execution("sleep", {"seconds": 0.01}), Silent()) == {"slept": 0.01}


async def test_sleep_beyond_the_timeout_is_a_timeout(connection: Connection) -> None:
    failure = await failure_of(connection, execution("sleep", {"seconds": 60}, timeout=0.01))
    assert (failure.code, failure.retryable) == (FailureCode.COMMAND_TIMEOUT, True)


@pytest.mark.parametrize("seconds", [None, "1", True, -1, 1e9, float("nan")])
async def test_invalid_seconds_are_rejected(connection: Connection, seconds: object) -> None:
    failure = await failure_of(connection, execution("sleep", {"seconds": seconds}))
    assert failure.code is FailureCode.INVALID_ARGUMENTS
    assert failure.message.startswith("params.seconds: ")


async def test_unknown_command_type_is_rejected(connection: Connection) -> None:
    failure = await failure_of(connection, execution("run_tool", {}))
    assert (failure.code, failure.retryable) == (FailureCode.COMMAND_TYPE_UNKNOWN, False)


async def test_close_fails_running_executions_uncharged(connection: Connection) -> None:
    running = asyncio.create_task(failure_of(connection, execution("sleep", {"seconds": 60})))
    await asyncio.sleep(0)
    await connection.close(5)
    failure = await running
    assert (failure.code, failure.retryable, failure.charged) == (FailureCode.CONNECTION_LOST, True, False)
    assert connection.lost.is_set()
    assert (await failure_of(connection, execution("echo", {}))).code is FailureCode.CONNECTION_LOST
