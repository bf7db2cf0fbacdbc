"""The values of sessions, and the state machine of sessions."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from libs.idempotency import KeyCode


class SessionState(StrEnum):
    """The states of a session."""

    CREATED = "created"
    ACTIVE = "active"
    PAUSED = "paused"
    STOPPING = "stopping"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    STOPPED = "stopped"

    @property
    def is_live(self) -> bool:
        """Whether a session in this state is live."""
        return self in LIVE


TRANSITIONS: Mapping[SessionState, frozenset[SessionState]] = {
    SessionState.CREATED: frozenset({SessionState.ACTIVE, SessionState.STOPPING}),
    SessionState.ACTIVE: frozenset({SessionState.PAUSED, SessionState.STOPPING}),
    SessionState.PAUSED: frozenset({SessionState.ACTIVE, SessionState.STOPPING}),
    SessionState.STOPPING: frozenset(
        {SessionState.COMPLETED, SessionState.FAILED, SessionState.TIMED_OUT, SessionState.STOPPED}
    ),
    SessionState.COMPLETED: frozenset(),
    SessionState.FAILED: frozenset(),
    SessionState.TIMED_OUT: frozenset(),
    SessionState.STOPPED: frozenset(),
}
"""The states that each state may change to. The lists of states in SQL are generated from it: see `tools.sql`."""
LIVE = frozenset(state for state, following in TRANSITIONS.items() if following)
"""The states of live sessions. Every other state is final."""
CAN_STOP = frozenset(state for state, following in TRANSITIONS.items() if SessionState.STOPPING in following)
"""The states in which a stop may begin, and in which callers may append events."""


class StartCode(StrEnum):
    """The result of a start."""

    CREATED = "created"
    EXISTING = "existing"
    LIVE = "live"
    STOPPING = "stopping"
    AGENT_NOT_FOUND = "agent_not_found"
    ID_TAKEN = "id_taken"
    REUSED = KeyCode.REUSED.value
    IN_USE = KeyCode.IN_USE.value


class StopCode(StrEnum):
    """The result of one step of a stop or restart."""

    STOPPED = "stopped"
    STOPPING = "stopping"
    NONE = "none"
    STARTED = "started"
    REPLAYED = "replayed"
    ALREADY_STOPPING = "already_stopping"
    AMBIGUOUS = "ambiguous"
    AGENT_NOT_FOUND = "agent_not_found"
    SESSION_NOT_FOUND = "session_not_found"
    ID_TAKEN = "id_taken"
    REUSED = KeyCode.REUSED.value
    IN_USE = KeyCode.IN_USE.value


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """The fields of a new session that its caller sets. Empty means not given."""

    session_id: str = ""
    session_type: str = "custom"
    mode: str = ""
    title: str = ""
    task: str = ""
    task_id: str = ""
    workspace: str = ""
    user_id: str = ""
    channel_id: str = ""
    resource_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    context: str = "{}"
    metadata: str = "{}"


@dataclass(frozen=True, slots=True)
class Session:
    """A stored session: the columns of `session.sessions`, and `last_seq` from `session.heads`."""

    session_uid: UUID
    session_id: str
    agent_id: str
    partition: int
    state: SessionState
    session_type: str
    mode: str
    title: str
    task: str
    task_id: str
    workspace: str
    user_id: str
    channel_id: str
    resource_id: str
    labels: Mapping[str, str]
    context: str
    metadata: str
    restart_count: int
    restarted_from: str
    created_by: str
    version: int
    result: str | None
    error: Mapping[str, Any] | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    last_seq: int

    def as_of(self, snapshot: Mapping[str, Any]) -> "Session":
        """Return the session as of `snapshot`, so that a replayed answer equals the first one."""
        ended_at = snapshot["endedAt"]
        return replace(
            self,
            state=SessionState(snapshot["state"]),
            version=snapshot["version"],
            updated_at=datetime.fromisoformat(snapshot["updatedAt"]),
            ended_at=datetime.fromisoformat(ended_at) if ended_at else None,
            result=snapshot["result"],
            error=snapshot["error"],
            last_seq=snapshot["lastSeq"],
        )


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """The filter of a list of sessions. None or empty means any."""

    agent_id: str = ""
    states: tuple[SessionState, ...] = ()
    session_type: str = ""
    mode: str = ""
    user_id: str = ""
    channel_id: str = ""
    resource_id: str = ""
    task_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    created_after: datetime | None = None
    created_before: datetime | None = None


CLOSING_EVENTS = frozenset(
    {"session.completed", "session.failed", "session.timed_out", "session.stopped", "session.expired"}
)
"""The types of events that close a session. No event follows them."""
