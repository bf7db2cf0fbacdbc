"""Commands and dead letters."""

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

    mode: Literal["graceful", "immediate"] | None = None
    grace: Seconds | None = Field(default=None, description="How long the agent has: 0 to 5 min.")
    reason: str | None = Field(default=None, max_length=1000, description="Why, in words, for the event.")


class SessionCommandQuery(Page):
    """Which of a session's commands; every filter that is given must hold."""

    state: list[CommandStateName] | None = Field(default=None, max_length=8, description="In one of these states.")
    type: CommandType | None = None
    correlation_id: CorrelationId | None = None


class CommandQuery(SessionCommandQuery):
    """Which commands; every filter that is given must hold."""

    agent_id: Id | None = None
    session_id: Id | None = None


class DeadLetterQuery(Page):
    """Which dead letters; every filter that is given must hold."""

    agent_id: Id | None = None
    session_id: Id | None = None
    type: CommandType | None = None
    reason: str | None = Field(
        default=None, pattern=r"^[A-Z][A-Z_]{0,63}$", description="A reason's name, such as `TOOL_ERROR`."
    )


class Accepted(Shape):
    """The command was accepted; `commandId` is the same as `jobId`."""

    job_id: str
    command_id: str
    correlation_id: str


class Requeued(Accepted):
    """The dead letter was submitted again, as the command of this `jobId`."""

    requeued_from: str


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


class CommandList(Shape):
    """A page of commands, newest first."""

    commands: list[Command]
    next_page_token: str | None


class Attempt(Shape):
    """One attempt at a command."""

    attempt: int
    runner_id: str | None
    started_at: Time | None
    ended_at: Time | None
    charged: bool
    error: Failure | None


class DeadLetter(Shape):
    """A command that failed for good; its id is its command's."""

    id: str
    reason: str
    dead_at: Time | None
    requeued_as: str | None
    command: Command


class DeadLetterInFull(DeadLetter):
    """A dead letter with its attempts, oldest first."""

    attempts: list[Attempt]


class DeadLetterList(Shape):
    """A page of dead letters, newest first."""

    dead_letters: list[DeadLetter]
    next_page_token: str | None
