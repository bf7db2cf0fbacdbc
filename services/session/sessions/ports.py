"""The storage that the use cases of sessions need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from libs.calls import Actor
from libs.idempotency import IdempotencyKey
from services.session.sessions.model import (
    Session,
    SessionFilter,
    SessionSpec,
    StartCode,
    StopCode,
)


@dataclass(frozen=True, slots=True)
class Started:
    """The answer to a start: `created` or `existing` with the session, or why it was rejected with a `detail`."""

    code: StartCode
    session: Session | None
    detail: str


@dataclass(frozen=True, slots=True)
class StopStep:
    """The progress of a stop.

    `code` is `stopped`, `stopping` while commands are open, `started` (a restart without a live session), `none`,
    `replayed`, or why the request was rejected. `runners` have commands or connections to end.
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
    """A stop or, with a `successor`, a restart, of an agent's live session or of one session. `grace` is in seconds."""

    agent_id: str
    session_id: str
    reason: str
    grace: float
    key: IdempotencyKey | None
    successor: SessionSpec | None = None
    inherit: bool = False


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A session that is still stopping. `late` says that its grace is over."""

    tenant_id: str
    partition: int
    session_uid: UUID
    late: bool


class SessionStore(Protocol):
    """Stores sessions. Each write is one transaction with its events, which are published after the commit."""

    async def start(
        self,
        actor: Actor,
        agent_id: str,
        spec: SessionSpec,
        *,
        fail_on_conflict: bool,
        key: IdempotencyKey | None,
    ) -> Started:
        """Start a session, or return the live one. Of concurrent starts, one creates the session."""

    async def stop(self, actor: Actor, request: StopRequest) -> StopStep:
        """Begin a stop or a restart, and finish it if no command is open."""

    async def advance_stop(self, tenant_id: str, partition: int, session_uid: UUID, *, force: bool) -> StopStep:
        """Advance a stop by one step. With `force`, cancel the running commands too."""

    async def partition_of_session(self, tenant_id: str, session_id: str) -> int | None:
        """Return the log partition of a session, None when there is none."""

    async def get(self, tenant_id: str, session_id: str) -> Session | None:
        """Return a session by its id, None when there is none."""

    async def find(
        self, tenant_id: str, wanted: SessionFilter, after: Mapping[str, Any] | None, limit: int
    ) -> list[Session]:
        """Return sessions, newest first, after the keyset `{"at", "uid"}`."""

    async def stopping(self, older_than: float) -> list[Unfinished]:
        """Return the sessions that have been stopping for more than `older_than` seconds."""
