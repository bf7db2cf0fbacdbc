"""What the session service's operations need of storage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from libs.calls import Actor, IdempotencyKey
from services.session.sessions.model import (
    Session,
    SessionFilter,
    SessionSpec,
    StartCode,
    StopCode,
)


@dataclass(frozen=True, slots=True)
class Started:
    """The answer to a start: a code (`created`, `existing`, or why it was refused) and what the code is about."""

    code: StartCode
    session: Session | None
    detail: str


@dataclass(frozen=True, slots=True)
class StopStep:
    """How far a stop has come.

    `code` is `stopped`, `stopping` while commands are open, `started` (a restart of nothing), `none`, `replayed`, or
    why it was refused; `runners` are those who should look at what is asked of them.
    """

    code: StopCode
    session_uid: UUID | None
    session: Session | None
    successor: Session | None
    open_commands: int
    runners: Sequence[UUID]
    detail: str


@dataclass(frozen=True, slots=True)
class StopRequest:
    """A stop or, with a `successor`, a restart; of an agent's live session or of one session. `grace` in seconds."""

    agent_id: str
    session_id: str
    reason: str
    grace: float
    key: IdempotencyKey | None
    successor: SessionSpec | None = None
    inherit: bool = False


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A session that is stopping, found by the service's own rounds; `late` when its grace is over."""

    tenant_id: str
    partition: int
    session_uid: UUID
    late: bool


class SessionStore(Protocol):
    """Sessions and their transitions. Each write is one transaction with its events, published after the commit."""

    async def start(
        self,
        actor: Actor,
        agent_id: str,
        spec: SessionSpec,
        *,
        fail_on_conflict: bool,
        key: IdempotencyKey | None,
    ) -> Started:
        """Start a session, or find the live one; races end with one winner."""

    async def stop(self, actor: Actor, request: StopRequest) -> StopStep:
        """Begin a stop or a restart, and finish it at once when no command is open."""

    async def advance_stop(self, tenant_id: str, partition: int, session_uid: UUID, *, force: bool) -> StopStep:
        """Carry a stop on; by force, cancel what still runs."""

    async def partition_of_session(self, tenant_id: str, session_id: str) -> int | None:
        """Return the log partition of a session, None when there is none."""

    async def get(self, tenant_id: str, session_id: str) -> Session | None:
        """Return a session by its id, None when there is none."""

    async def find(
        self, tenant_id: str, wanted: SessionFilter, after: Mapping[str, Any] | None, limit: int
    ) -> list[Session]:
        """Return sessions, newest first, after the place `{"at", "uid"}`."""

    async def stopping(self, older_than: float) -> list[Unfinished]:
        """Return sessions that have been stopping for longer than so many seconds."""

    async def forget_keys(self) -> None:
        """Delete idempotency keys that are past their time."""
