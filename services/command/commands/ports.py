"""The storage and the dispatch queue that the use cases of commands need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from libs.calls import Actor
from services.command.commands.model import (
    Cancel,
    CancelCode,
    Command,
    CommandFilter,
    KeyCode,
    NewCommand,
    OpenCommandFilter,
    SubmitCode,
)
from services.command.dispatch.model import Dispatch


@dataclass(frozen=True, slots=True)
class Submitted:
    """The answer to one submit: `ok`, `replay`, or why it was rejected, with the session's state if that is why."""

    code: SubmitCode
    command_id: UUID
    correlation_id: str
    agent_id: str
    session_id: str
    enqueued_at: datetime
    session_state: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The answer to a cancel: `cancelled`, `requested`, `finished` or `gone`, and the command's state."""

    code: CancelCode
    state: str


class CommandStore(Protocol):
    """Stores commands. Each write is one transaction with its events, which are published after the commit."""

    async def submit(self, actor: Actor, method: str, command: NewCommand) -> Submitted:
        """Store a command, or return the answer of the command that its key was used for."""

    async def get(self, tenant_id: str, command_id: UUID) -> Command | None:
        """Return a command, None when there is none."""

    async def find(
        self, tenant_id: str, wanted: CommandFilter, after: Mapping[str, Any] | None, limit: int
    ) -> list[Command]:
        """Return commands, newest first, after the keyset `{"at", "id"}`."""

    async def cancel(self, actor: Actor, command_ids: Sequence[UUID], how: Cancel) -> list[Cancelled]:
        """Cancel waiting commands, and ask the runners of running ones to stop.

        Returns the answers in order of the ids.
        """

    async def cancel_key(self, actor: Actor, key: str, how: Cancel) -> UUID | None:
        """Return the command that was submitted under a key. If there is none, record the cancel and return None."""

    async def open_ids(self, tenant_id: str, wanted: OpenCommandFilter, limit: int) -> list[UUID]:
        """Return the ids of commands that have not ended, oldest first."""


class KeyStore(Protocol):
    """Idempotency keys of operations that are the same when they are done twice."""

    async def take(self, tenant_id: str, method: str, key: str, request: bytes, command_id: UUID) -> KeyCode:
        """Take a key: `taken`, `replay` of the same request, or `reused` for another."""

    async def drop(self, tenant_id: str, method: str, key: str) -> None:
        """Forget a key whose request was refused."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer to a key: `taken`, `replay`, `reused` or `in_use`; with its plan and its answer, once there are."""

    code: str
    plan: str | None
    answer: str | None


class BatchKeyStore(Protocol):
    """Idempotency keys of operations that take several transactions; each is leased while its operation runs."""

    async def take(self, tenant_id: str, key: str, request: bytes, lease: float) -> Taken:
        """Take a key for so many seconds; one whose lease lapsed is taken again, with the plan that it had."""

    async def keep_plan(self, tenant_id: str, key: str, plan: str) -> str:
        """Store what the key stands for; the first plan stays, and is returned."""

    async def keep_answer(self, tenant_id: str, key: str, answer: str) -> str:
        """Store what came of it and end the lease; the first answer stays, and is returned."""

    async def give_back(self, tenant_id: str, key: str) -> None:
        """End the lease of what is not done; a key without a plan is forgotten."""


class DispatchQueue(Protocol):
    """Publishes dispatches in the background, after their commit."""

    def enqueue(self, dispatches: Sequence[Dispatch]) -> None:
        """Publish dispatches soon. Never raises and never waits. A lost dispatch is found again in `command.ready`."""
