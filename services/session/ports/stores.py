"""What the session service's operations need of storage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from services.session.domain.agent import Agent, NewAgent
from services.session.domain.event import Event, NewEvent
from services.session.domain.session import Actor, IdempotencyKey, Session, SessionFilter, SessionSpec


@dataclass(frozen=True, slots=True)
class Started:
    """The answer to a start: a code (`created`, `existing`, or why it was refused) and what the code is about."""

    code: str
    session: Session | None
    detail: str


@dataclass(frozen=True, slots=True)
class StopStep:
    """How far a stop has come.

    `code` is `stopped`, `stopping` while commands are open, `started` (a restart of nothing), `none`, `replayed`, or
    why it was refused; `runners` are those who should look at what is asked of them.
    """

    code: str
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
    part: int
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

    async def stop_further(self, tenant_id: str, part: int, session_uid: UUID, *, force: bool) -> StopStep:
        """Carry a stop on; by force, cancel what still runs."""

    async def part_of_session(self, tenant_id: str, session_id: str) -> int | None:
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


class AgentStore(Protocol):
    """Agents."""

    async def create(self, tenant_id: str, agent: NewAgent, key: IdempotencyKey | None) -> tuple[str, Agent | None]:
        """Store an agent; answers `ok`, `exists`, `reused` or `running`."""

    async def get(self, tenant_id: str, agent_id: str) -> Agent | None:
        """Return an agent, None when there is none."""

    async def find(self, tenant_id: str, after: str, limit: int) -> list[Agent]:
        """Return agents by id, after one."""

    async def update(self, tenant_id: str, agent: Agent, key: IdempotencyKey | None) -> tuple[str, Agent | None]:
        """Store the agent if its version is still the stored one; answers `ok`, `conflict`, `reused` or `running`."""

    async def delete(self, tenant_id: str, agent_id: str, version: int | None, key: IdempotencyKey | None) -> str:
        """Delete an agent without a live session: `ok`, `missing`, `conflict`, `in_use`, `reused` or `running`."""


@dataclass(frozen=True, slots=True)
class Appended:
    """The answer to an append: `ok`, or why it was refused, with the state that refused it."""

    code: str
    first_seq: int
    last_seq: int
    detail: str


@dataclass(frozen=True, slots=True)
class SessionHead:
    """What a reader of a session's events needs to know of it."""

    session_uid: UUID
    part: int
    agent_id: str
    state: str
    last_seq: int
    first_bucket: int
    incarnation: int


@dataclass(frozen=True, slots=True)
class LogHead:
    """Where a log partition ends, and the first position that it retains."""

    position: int
    incarnation: int
    first_position: int


class EventStore(Protocol):
    """The work stream in storage."""

    async def append(
        self, actor: Actor, part: int, session_id: str, events: Sequence[NewEvent], key: IdempotencyKey | None
    ) -> Appended:
        """Append all of the events or, when the session takes none, none."""

    async def head(self, tenant_id: str, session_id: str) -> SessionHead | None:
        """Return a session's head, None when there is no such session."""

    async def log(self, tenant_id: str, part: int) -> LogHead | None:
        """Return a partition's head, None when the tenant has no log."""

    async def of_session(self, tenant_id: str, head: SessionHead, after: int, limit: int, size: int) -> list[Event]:
        """Return a session's events after a seq, in order: `limit` at most, or `size` bytes of payload, but one."""

    async def of_part(self, tenant_id: str, part: int, after: int, upto: int, limit: int, size: int) -> list[Event]:
        """Return a partition's events after a position and up to another, in order, without holes: `limit` at most,
        or `size` bytes of payload, but one."""

    async def positions(self, parts: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Return the last positions of partitions."""
