"""What the command service's operations and its runners need of storage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from services.command.domain.cancel import Cancel, OpenFilter
from services.command.domain.command import Actor, Command, CommandFilter, NewCommand


@dataclass(frozen=True, slots=True)
class Submitted:
    """The answer to one submit: `ok`, `replay`, or why it was refused, with the session's state when that is why."""

    code: str
    command_id: UUID
    correlation_id: str
    agent_id: str
    session_id: str
    enqueued_at: datetime
    session_state: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The answer to a cancel: `cancelled`, `requested`, `finished` or `gone`."""

    code: str
    state: str


class CommandStore(Protocol):
    """Commands. Each write is one transaction with its events, published after the commit."""

    async def submit(self, actor: Actor, method: str, command: NewCommand) -> Submitted:
        """Store a command, or answer for the one that its key stands for."""

    async def get(self, tenant_id: str, command_id: UUID) -> Command | None:
        """Return a command, None when there is none."""

    async def find(
        self, tenant_id: str, wanted: CommandFilter, after: Mapping[str, Any] | None, limit: int
    ) -> list[Command]:
        """Return commands, newest first, after the place `{"at", "id"}`."""

    async def cancel(self, actor: Actor, command_ids: Sequence[UUID], how: Cancel) -> list[Cancelled]:
        """Cancel commands, or ask the runners of those that run; answers in the order of the ids."""

    async def cancel_key(self, actor: Actor, key: str, how: Cancel) -> UUID | None:
        """Return the command that was submitted under a key; None when the cancel of the one to come is recorded."""

    async def open_ids(self, tenant_id: str, wanted: OpenFilter, limit: int) -> list[UUID]:
        """Return commands that have not ended, oldest first."""


class KeyStore(Protocol):
    """Idempotency keys of operations that are the same when they are done twice."""

    async def take(self, tenant_id: str, method: str, key: str, request: bytes, command_id: UUID) -> str:
        """Take a key: `taken`, `replay` of the same request, or `reused` for another."""

    async def drop(self, tenant_id: str, method: str, key: str) -> None:
        """Forget a key whose request was refused."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim: `ok` with the lease, or why it was refused."""

    code: str
    command_id: UUID
    lease_token: UUID | None
    attempt: int
    charged: int
    released: int


@dataclass(frozen=True, slots=True)
class Work:
    """What a runner reads of a command: the parts that never change, and how the attempt before failed (JSON text)."""

    command_id: UUID
    session_uid: UUID
    type: str
    params: str
    correlation_id: str
    timeout_ms: int
    max_attempts: int
    backoff_ms: int
    max_backoff_ms: int
    retry_tool_errors: bool
    error: str | None


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of an attempt; see `command.finish` for the fields."""

    command_id: UUID
    token: UUID
    outcome: str
    actor: str
    event: str
    charged: bool = True
    result: str | None = None
    error: str | None = None
    reason: str | None = None
    delay_ms: int = 0
    note: str | None = None
    counted: bool = True
    """Whether a release counts towards the limit of releases."""


@dataclass(frozen=True, slots=True)
class Report:
    """Progress or output of a running command."""

    command_id: UUID
    token: UUID
    type: str
    payload: str
    actor: str
    progress: str | None = None


@dataclass(frozen=True, slots=True)
class WantedConnection:
    """A session whose agent a runner is to connect."""

    tenant_id: str
    session_uid: UUID
    part: int
    session_id: str
    agent_id: str
    kind: str
    server: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a runner: commands to cancel and those to let go of, because they are its own no longer;
    connections (tenant, session) to close and to kill; and what it has as far as the database knows: connections
    (tenant, session), and commands for longer than a moment (tenant, partition, command, lease token)."""

    cancel: Sequence[UUID]
    taken: Sequence[UUID]
    close: Sequence[tuple[str, UUID]]
    kill: Sequence[tuple[str, UUID]]
    owned: Sequence[tuple[str, UUID]]
    running: Sequence[tuple[str, int, UUID, UUID]]


class WorkStore(Protocol):
    """What runners do. Every write to a running command is fenced by its lease token."""

    async def register(self, runner_id: UUID, name: str, slots: int, lease: float) -> None:
        """Enter a runner, with a first lease of so many seconds."""

    async def heartbeat(self, runner_id: UUID, lease: float) -> bool:
        """Extend the runner's lease; false when it was declared dead: it owns nothing any more."""

    async def leave(self, runner_id: UUID) -> None:
        """Declare the runner dead by its own wish; what it still holds is taken from it at once."""

    async def asked_of(self, runner_id: UUID, executing: Sequence[tuple[str, UUID, UUID]]) -> Asked:
        """Return what is asked of a runner that executes these (tenant, command, lease token)."""

    async def wanted(self, runner_id: UUID, limit: int) -> list[WantedConnection]:
        """Take sessions that want a connection."""

    async def connected(self, tenant_id: str, part: int, runner_id: UUID, session_uid: UUID, event: str) -> bool:
        """Say that a session's agent is connected; false when the session is no longer the runner's."""

    async def connect_failed(self, tenant_id: str, session_uid: UUID, runner_id: UUID, delay: float) -> None:
        """Give a connection back, to be tried by anyone after so many seconds."""

    async def fail_session(self, tenant_id: str, part: int, session_uid: UUID, actor: str, error: str) -> None:
        """Fail a session whose agent cannot be connected."""

    async def closed(self, tenant_id: str, session_uid: UUID, runner_id: UUID) -> None:
        """Say that a connection is closed."""

    async def work(self, tenant_id: str, command_id: UUID) -> Work | None:
        """Return what is to be done for a command, None when there is none."""

    async def claim(self, tenant_id: str, part: int, runner_id: UUID, command_id: UUID) -> Claim:
        """Claim a command for a runner."""

    async def report(self, tenant_id: str, part: int, report: Report) -> bool:
        """Store progress or output; false when the lease is gone."""

    async def finish(self, tenant_id: str, part: int, finish: Finish) -> str:
        """End an attempt; answers the state that the command is in now, or `fenced`."""
