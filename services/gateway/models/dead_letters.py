"""Dead letters."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from services.gateway.models.commands import Accepted, Command, Failure
from services.gateway.models.shape import (
    Body,
    CommandId,
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

ReasonName = Annotated[
    str, Field(pattern=r"^[A-Z][A-Z_]{0,63}$", description="A reason's name, such as `TOOL_ERROR`.")
]  # fmt: skip
OutcomeName = Literal["succeeded", "retrying", "released", "failed", "cancelled"]


class DeadLetterQuery(Page):
    """Which dead letters; every filter that is given must hold."""

    agent_id: Id | None = None
    session_id: Id | None = None
    type: CommandType | None = None
    reason: list[ReasonName] | None = Field(default=None, max_length=32, description="For one of these reasons.")
    dead_after: Moment | None = Field(default=None, description="Dead at this time or later.")
    dead_before: Moment | None = Field(default=None, description="Dead before this time.")
    requeued: Literal["true", "false", "any"] | None = Field(default=None, description="`any` when not given.")
    correlation_id: CorrelationId | None = None


class DeadLetterSelection(Body):
    """A filter of dead letters: all that is given must hold. An empty one means all that were not requeued."""

    agent_id: Id | None = None
    session_id: Id | None = None
    type: CommandType | None = None
    reasons: list[ReasonName] | None = Field(default=None, max_length=32, description="For one of these reasons.")
    dead_after: Moment | None = Field(default=None, description="Dead at this time or later.")
    dead_before: Moment | None = Field(default=None, description="Dead before this time.")
    requeued: Literal[True, False, "any"] | None = Field(
        default=None, description="Whether they were requeued; `false` when not given."
    )
    correlation_id: CorrelationId | None = None


class RequeueOptions(Body):
    """How the new command is to be run; what is not given is as it was."""

    max_attempts: int | None = Field(default=None, ge=1, le=25)
    timeout: Seconds | None = Field(default=None, description="Of one attempt: 1 s to 24 h.")
    priority: PriorityName | None = None
    not_before: Moment | None = Field(default=None, description="At most a year ahead; at once when not given.")
    session_id: Id | None = Field(
        default=None, description="In which of the agent's live sessions; the only one when not given."
    )


class Requeue(RequeueOptions):
    """What the new command is to have otherwise than the dead one; the body may be left out."""

    params: JsonObject | None = Field(default=None, description="In the place of the dead command's.")


class RequeueMany(RequeueOptions):
    """Which dead letters to requeue: those of `ids`, or those that match `filter`, the longest dead first."""

    ids: list[CommandId] | None = Field(default=None, min_length=1, max_length=1000, description="Each once.")
    filter: DeadLetterSelection | None = None
    limit: int | None = Field(
        default=None, ge=1, le=1000, description="With a filter, how many at most; 100 when not given."
    )
    page_token: str | None = Field(
        default=None, max_length=1024, description="With a filter: `nextPageToken` of the call before."
    )
    dry_run: bool = Field(default=False, description="Only say what would be done.")

    @model_validator(mode="after")
    def _mean_something(self) -> "RequeueMany":
        _one_of(self.ids, self.filter)
        return self


class PurgeMany(Body):
    """Which dead letters to remove: those of `ids`, or those that match `filter`, the longest dead first."""

    ids: list[CommandId] | None = Field(default=None, min_length=1, max_length=1000, description="Each once.")
    filter: DeadLetterSelection | None = None
    limit: int | None = Field(
        default=None, ge=1, le=1000, description="With a filter, how many at most; 100 when not given."
    )
    dry_run: bool = Field(default=False, description="Only say what would be done.")

    @model_validator(mode="after")
    def _mean_something(self) -> "PurgeMany":
        _one_of(self.ids, self.filter)
        return self


class Requeued(Accepted):
    """The dead letter was submitted again, as the command of this `jobId`."""

    requeued_from: str


class RefusedLetter(Shape):
    """Why one dead letter of many was refused."""

    reason: str
    message: str
    metadata: dict[str, str]


class RequeueResult(Shape):
    """What became of one dead letter: `jobId` of the new command, or `refusal`; neither in a dry run's success."""

    id: str
    job_id: str | None
    correlation_id: str | None
    refusal: RefusedLetter | None


class RequeuedMany(Shape):
    """What became of each dead letter; in a dry run, what would. `matched` is counted in a dry run by filter."""

    results: list[RequeueResult]
    requeued: int
    refused: int
    more: bool
    next_page_token: str | None
    dry_run: bool
    matched: int | None


class PurgeResult(Shape):
    """What became of one dead letter: removed, or `refusal`."""

    id: str
    refusal: RefusedLetter | None


class PurgedMany(Shape):
    """What became of each dead letter; in a dry run, what would. `matched` is counted in a dry run by filter."""

    results: list[PurgeResult]
    purged: int
    refused: int
    more: bool
    dry_run: bool
    matched: int | None


class Attempt(Shape):
    """One attempt at a command; its duration is in seconds."""

    attempt: int
    outcome: OutcomeName | None
    runner_id: str | None
    started_at: Time | None
    ended_at: Time | None
    duration: float | None
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


def _one_of(ids: object, matching: object) -> None:
    if (ids is None) == (matching is None):
        raise ValueError("exactly one of ids and filter is required")
