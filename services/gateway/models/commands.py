"""Commands."""

from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from services.gateway.models.shape import (
    Body,
    CommandStateName,
    CommandType,
    CorrelationId,
    Id,
    JsonObject,
    Moment,
    Page,
    PriorityName,
    Seconds,
    Shape,
    Time,
)


class NewCommand(Body):
    """A command to run."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "run_tool",
                    "params": {"tool": "get_current_time", "arguments": {"timezone": "UTC"}},
                    "maxAttempts": 3,
                    "timeout": "30s",
                }
            ]
        }
    )

    type: CommandType = Field(description="For MCP: `run_tool`, `list_tools`, `read_resource`, `get_prompt`.")
    params: JsonObject | None = None
    correlation_id: CorrelationId | None = None
    max_attempts: int | None = Field(default=None, ge=1, le=25, description="3 when not given.")
    attempts: int | None = Field(default=None, ge=1, le=25, description="The same as `maxAttempts`.")
    timeout: Seconds | None = Field(default=None, description="Of one attempt: 1 s to 24 h; 5 min when not given.")
    backoff: Seconds | None = Field(default=None, description="Before the second attempt; 1 s when not given.")
    max_backoff: Seconds | None = Field(default=None, description="Before any attempt; 5 min when not given.")
    priority: PriorityName | None = None
    not_before: Moment | None = Field(default=None, description="At most a year ahead.")
    retry_tool_errors: bool | None = None
    ordering_key: str | None = Field(default=None, pattern=r"^[!-~]{0,128}$")
    retention: Seconds | None = Field(
        default=None, description="After its end: 1 min to 366 days; 30 days if not given."
    )

    @model_validator(mode="after")
    def _agree(self) -> "NewCommand":
        if None not in (self.attempts, self.max_attempts) and self.attempts != self.max_attempts:
            raise ValueError("attempts contradicts maxAttempts")
        return self


class Cancel(Body):
    """How to cancel; the body may be left out."""

    mode: Literal["graceful", "immediate", "kill"] | None = Field(
        default=None,
        description="`graceful` when not given; `immediate` waits for nothing; `kill` ends the agent's processes too.",
    )
    grace: Seconds | None = Field(default=None, description="How long the agent has: 0 to 5 min; 5 s if not given.")
    reason: str | None = Field(default=None, max_length=1000, description="Why, in words, for the event.")


class CancelByKey(Cancel):
    """Cancel what was, or will be, submitted under an idempotency key."""

    idempotency_key: str = Field(pattern=r"^[!-~]{1,128}$", description="The `Idempotency-Key` of the submit.")


class OpenSelection(Body):
    """A filter of commands that have not ended: all that is given must hold, and something must be given."""

    agent_id: Id | None = None
    session_id: Id | None = None
    states: list[CommandStateName] | None = Field(default=None, min_length=1, max_length=8)
    type: CommandType | None = None
    correlation_id: CorrelationId | None = None
    enqueued_after: Moment | None = Field(default=None, description="Submitted at this time or later.")
    enqueued_before: Moment | None = Field(default=None, description="Submitted before this time.")

    @model_validator(mode="after")
    def _mean_something(self) -> "OpenSelection":
        if not self.model_dump(exclude_none=True):
            raise ValueError("an empty filter would mean every command: name something")
        return self


class CancelMany(Cancel):
    """Which commands to cancel, the oldest first, and how."""

    filter: OpenSelection
    limit: int | None = Field(default=None, ge=1, le=1000, description="How many at most; 100 when not given.")
    dry_run: bool = Field(default=False, description="Only say what would be done.")


class SessionCommandQuery(Page):
    """Which of a session's commands; every filter that is given must hold."""

    state: list[CommandStateName] | None = Field(default=None, max_length=8, description="In one of these states.")
    type: CommandType | None = None
    correlation_id: CorrelationId | None = None


class CommandQuery(SessionCommandQuery):
    """Which commands; every filter that is given must hold."""

    agent_id: Id | None = None
    session_id: Id | None = None


class Accepted(Shape):
    """The command was accepted; `commandId` is the same as `jobId`."""

    job_id: str
    command_id: str
    correlation_id: str


class Progress(Shape):
    """How far a command has come, in the tool's own unit."""

    progress: float
    total: float | None
    message: str | None


class Failure(Shape):
    """Why an attempt failed."""

    code: str
    message: str
    retryable: bool
    details: JsonObject | None


class Command(Shape):
    """A command. Spans are in seconds."""

    job_id: str
    command_id: str
    correlation_id: str
    agent_id: str
    session_id: str
    type: str
    params: JsonObject
    state: CommandStateName
    attempt: int
    max_attempts: int
    progress: Progress | None
    result: Any
    error: Failure | None
    requested_by: str | None
    enqueued_at: Time | None
    started_at: Time | None
    finished_at: Time | None
    charged_attempts: int
    next_attempt_at: Time | None
    cancel_requested_at: Time | None
    requeued_from: str | None
    timeout: float | None
    backoff: float | None
    max_backoff: float | None
    priority: PriorityName
    not_before: Time | None
    retry_tool_errors: bool
    ordering_key: str | None
    retention: float | None


class CancelledByKey(Shape):
    """The command; null when the cancel is kept for one that is still to come."""

    command: Command | None


class CancelledMany(Shape):
    """How many are cancelled, and how many run and were asked to stop; `more` says that the limit left some."""

    cancelled: int
    requested: int
    more: bool
    dry_run: bool


class CommandList(Shape):
    """A page of commands, newest first."""

    commands: list[Command]
    next_page_token: str | None
