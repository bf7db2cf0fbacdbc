"""The values of commands, and the state machine of commands."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from libs.idempotency import KeyCode


class CommandState(StrEnum):
    """The states of a command."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


TRANSITIONS: Mapping[CommandState, frozenset[CommandState]] = {
    CommandState.SCHEDULED: frozenset({CommandState.RUNNING, CommandState.FAILED, CommandState.CANCELLED}),
    CommandState.QUEUED: frozenset({CommandState.RUNNING, CommandState.FAILED, CommandState.CANCELLED}),
    CommandState.RUNNING: frozenset(
        {CommandState.RETRYING, CommandState.SUCCEEDED, CommandState.FAILED, CommandState.CANCELLED}
    ),
    CommandState.RETRYING: frozenset({CommandState.RUNNING, CommandState.FAILED, CommandState.CANCELLED}),
    CommandState.WAITING: frozenset({CommandState.QUEUED, CommandState.CANCELLED}),
    CommandState.SUCCEEDED: frozenset(),
    CommandState.FAILED: frozenset(),
    CommandState.CANCELLED: frozenset(),
}
"""The states that each state may change to. The lists of states in SQL are generated from it: see `tools.sql`."""
CAN_CLAIM = frozenset(state for state, following in TRANSITIONS.items() if CommandState.RUNNING in following)
"""The states in which a runner may claim a command."""


class SubmitCode(StrEnum):
    """The result of a submit, or of a requeue, which submits a command too."""

    OK = "ok"
    REPLAY = KeyCode.REPLAY.value
    REUSED = KeyCode.REUSED.value
    AMBIGUOUS = "ambiguous"
    NO_SESSION = "no_session"
    AGENT_NOT_FOUND = "agent_not_found"
    SESSION_NOT_FOUND = "session_not_found"
    MOVED = "moved"
    NOT_ACTIVE = "not_active"
    DEAD_LETTER_NOT_FOUND = "dead_letter_not_found"
    REQUEUED = "requeued"
    NOT_ITS_SESSION = "not_its_session"


class CancelCode(StrEnum):
    """The result of a cancel."""

    CANCELLED = "cancelled"
    REQUESTED = "requested"
    FINISHED = "finished"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options that a command only carries to its runner: the attributes of `command.run_options`.

    Fields of the contract's `CommandOptions` are matched by name: `timeout_ms` is `timeout` there, a duration.
    """

    timeout_ms: int
    backoff_ms: int
    max_backoff_ms: int
    retry_tool_errors: bool

    def run_options(self) -> dict[str, Any]:
        """Return these options by name."""
        return {name: getattr(self, name) for name in RUN_OPTIONS}


RUN_OPTIONS = tuple(field.name for field in fields(RunOptions))
DEFAULT_RUN_OPTIONS = RunOptions(
    timeout_ms=300_000,
    backoff_ms=1_000,
    max_backoff_ms=300_000,
    retry_tool_errors=False,
)
DEFAULT_MAX_ATTEMPTS = 3
DEFAULT_RETENTION_S = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class NewCommand(RunOptions):
    """A command to submit, with the defaults filled in. Either `agent_id` or `session_id` is given."""

    agent_id: str
    session_id: str
    type: str
    params: str
    correlation_id: str
    max_attempts: int
    priority: int
    not_before: datetime | None
    ordering_key: str
    retention_s: int
    key: str
    hash: bytes
    requeued_from: UUID | None = None


@dataclass(frozen=True, slots=True)
class Command(RunOptions):
    """A stored command."""

    command_id: UUID
    session_id: str
    agent_id: str
    type: str
    params: str
    correlation_id: str
    requested_by: str
    requeued_from: UUID | None
    max_attempts: int
    priority: int
    not_before: datetime | None
    ordering_key: str | None
    retention_s: int
    state: CommandState
    attempt: int
    charged: int
    progress: str | None
    result: str | None
    error: str | None
    cancel_requested_at: datetime | None
    enqueued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    next_attempt_at: datetime | None


STORED = tuple(f"options.{field.name}" if field.name in RUN_OPTIONS else field.name for field in fields(Command))
"""Where the fields of a command are stored: in a column of `command.commands`, or in an attribute of its `options`."""


@dataclass(frozen=True, slots=True)
class CommandFilter:
    """The filter of a list of commands. Empty means any."""

    session_id: str = ""
    agent_id: str = ""
    states: tuple[CommandState, ...] = ()
    type: str = ""
    correlation_id: str = ""


DEFAULT_GRACE_MS = 5_000
"""Milliseconds that a running command gets to stop when the caller gives no grace."""
DEFAULT_LIMIT = 100
"""The most commands that one call cancels when the caller gives no limit."""


class CancelMode(StrEnum):
    """How a running command is cancelled. A waiting command is cancelled at once in every mode."""

    GRACEFUL = "graceful"
    """Its agent is asked to stop. When the grace is over, the command is cancelled by force."""
    IMMEDIATE = "immediate"
    """It is cancelled now. Its agent is asked to stop, and the cancel does not wait for that."""
    KILL = "kill"
    """Like `immediate`, and the agent's processes are killed. Other commands in them run again, uncharged."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """A requested cancel. Only the graceful mode uses `grace_ms`."""

    mode: CancelMode = CancelMode.GRACEFUL
    grace_ms: int = DEFAULT_GRACE_MS
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OpenCommandFilter:
    """A filter of commands that have not ended. Empty means any."""

    session_id: str = ""
    agent_id: str = ""
    states: tuple[CommandState, ...] = ()
    type: str = ""
    correlation_id: str = ""
    enqueued_after: datetime | None = None
    enqueued_before: datetime | None = None


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
    """The answer to a cancel, and the command's state, None if there is no such command."""

    code: CancelCode
    state: CommandState | None
