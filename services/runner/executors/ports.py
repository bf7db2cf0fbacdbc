"""What a runner needs of the thing that talks to an agent."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Connector:
    """How an agent is reached: the kind of executor, and the name of an entry in the operator's catalogue."""

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
class Execution:
    """One attempt at one command. `timeout` is in seconds."""

    command_id: str
    correlation_id: str
    type: str
    params: Mapping[str, Any]
    attempt: int
    timeout: float
    retry_tool_errors: bool


class Reporter(Protocol):
    """Where an execution reports what happens while it runs; never blocks on the network."""

    def progress(self, progress: float, total: float | None, message: str | None) -> None:
        """Report progress; the runner folds it to ten events a second for each command."""

    def output(self, output: Mapping[str, Any]) -> None:
        """Report a piece of output (a log line, a partial result) as a `command.output` event."""


class Connection(Protocol):
    """A live connection to one agent for one session; safe for concurrent executions."""

    @property
    def description(self) -> Mapping[str, Any]:
        """What the agent said of itself (name, version, protocol, capabilities), for `agent.connected`."""

    @property
    def lost(self) -> asyncio.Event:
        """Set once the connection can serve no more executions, for whatever reason."""

    async def execute(self, execution: Execution, report: Reporter) -> Mapping[str, Any]:
        """Run one attempt and return its result as a JSON object.

        Raises `AttemptFailedError` for every failure, the timeout included. Cancelling the task cancels the
        work at the agent (MCP: `notifications/cancelled`) and re-raises `CancelledError` promptly; what the
        agent then still does is stopped by `close` or `kill`.
        """

    async def close(self, grace: float) -> None:
        """Close in order, then by force: within `grace` seconds nothing of the agent's process group is left.

        Idempotent; executions under way fail with `CONNECTION_LOST`, uncharged.
        """


class Executor(Protocol):
    """Opens connections of one kind."""

    async def connect(self, session: SessionRef, connector: Connector) -> Connection:
        """Connect the session's agent, or raise `AttemptFailedError` with the reason.

        `SERVER_NOT_REGISTERED` is not retryable; a server that does not come up in time is
        `AGENT_UNAVAILABLE` and retryable. Cancelling leaves no process behind.
        """
