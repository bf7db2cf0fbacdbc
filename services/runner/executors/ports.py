"""The ports between a runner and its executors."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Connector:
    """How to reach an agent: the kind of executor, and the name of a server in the operator's server registry."""

    kind: str
    server: str


@dataclass(frozen=True, slots=True)
class SessionRef:
    """The session that a connection belongs to."""

    tenant_id: str
    session_uid: str
    session_id: str
    agent_id: str


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """The options of a command that executors use: attributes of `command.run_options`."""

    retry_tool_errors: bool

    def execution_options(self) -> dict[str, Any]:
        """Return these options by name."""
        return {name: getattr(self, name) for name in EXECUTION_OPTIONS}


EXECUTION_OPTIONS = tuple(field.name for field in fields(ExecutionOptions))


@dataclass(frozen=True, slots=True)
class Execution(ExecutionOptions):
    """One attempt at one command. `timeout` is in seconds."""

    command_id: str
    correlation_id: str
    type: str
    params: Mapping[str, Any]
    attempt: int
    timeout: float


class Reporter(Protocol):
    """Receives what an execution reports while it runs. Never blocks on the network."""

    def progress(self, progress: float, total: float | None, message: str | None) -> None:
        """Report progress. The runner stores at most ten values a second for each command."""

    def output(self, output: Mapping[str, Any]) -> None:
        """Report a piece of output, such as a log line or a partial result, as a `command.output` event."""


class Connection(Protocol):
    """A live connection to one agent for one session. Safe for concurrent executions."""

    @property
    def description(self) -> Mapping[str, Any]:
        """The agent's description of itself (name, version, protocol, capabilities), for `agent.connected`."""

    @property
    def lost(self) -> asyncio.Event:
        """Set once the connection cannot serve executions any more, for any reason."""

    async def execute(self, execution: Execution, report: Reporter) -> Mapping[str, Any]:
        """Run one attempt and return its result as a JSON object.

        Raises `AttemptFailedError` for every failure, including a timeout. Cancelling the task cancels the work at
        the agent (MCP: `notifications/cancelled`) and raises `CancelledError` promptly. If the agent continues to
        work, `close` stops it.
        """

    async def close(self, grace: float) -> None:
        """Close gracefully, then by force. After `grace` seconds no process of the agent's process group is left.

        Idempotent. Running executions fail with `CONNECTION_LOST`, uncharged.
        """


class Executor(Protocol):
    """Opens connections of one kind."""

    async def connect(self, session: SessionRef, connector: Connector) -> Connection:
        """Connect the session's agent. Raises `AttemptFailedError` with the reason.

        `SERVER_NOT_REGISTERED` is not retryable. A server that does not start in time is `AGENT_UNAVAILABLE`, which
        is retryable. Cancelling leaves no process behind.
        """
