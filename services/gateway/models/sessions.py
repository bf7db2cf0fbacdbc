"""Sessions."""

from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from services.gateway.models.shape import (
    Body,
    Id,
    JsonObject,
    Labels,
    Moment,
    OwnerId,
    Page,
    SessionStateName,
    SessionTypeName,
    Shape,
    Time,
    Word,
)

ConflictName = Literal["returnExisting", "fail", "restart"]


class SessionFields(Body):
    """What a caller says of a session."""

    session_id: Id | None = Field(default=None, description="An id of the caller's choice; made when not given.")
    session_type: SessionTypeName | None = None
    mode: Word | None = Field(default=None, description="How it works, in a free word.")
    title: str | None = Field(default=None, max_length=200)
    task: str | None = Field(default=None, max_length=65536)
    task_id: OwnerId | None = None
    workspace: str | None = Field(default=None, max_length=1024)
    user_id: OwnerId | None = None
    channel_id: OwnerId | None = None
    resource_id: OwnerId | None = None
    labels: Labels | None = None
    context: JsonObject | None = Field(default=None, description="What the session starts out knowing.")
    metadata: JsonObject | None = Field(default=None, description="The caller's own data.")


class Start(SessionFields):
    """A session to start; the body may be left out."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"sessionType": "custom", "title": "Trial", "context": {"goal": "to try"}}]}
    )

    restart: bool | None = Field(default=None, description="The same as `onConflict: restart`.")
    on_conflict: ConflictName | None = Field(
        default=None, description="What to do when an exclusive agent has a live session already."
    )

    @model_validator(mode="after")
    def _agree(self) -> "Start":
        if self.restart and self.on_conflict not in (None, "restart"):
            raise ValueError("restart contradicts onConflict")
        return self


class Restart(SessionFields):
    """The next session; the body may be left out, and it is then as the one before it."""

    reason: str | None = Field(default=None, max_length=1000, description="Why, in words, for the event.")


class Stop(Body):
    """Why to stop; the body may be left out."""

    reason: str | None = Field(default=None, max_length=1000, description="Why, in words, for the event.")


class SessionQuery(Page):
    """Which sessions; every filter that is given must hold."""

    agent_id: Id | None = None
    state: list[SessionStateName] | None = Field(default=None, max_length=8, description="In one of these states.")
    session_type: SessionTypeName | None = None
    mode: Word | None = None
    user_id: OwnerId | None = None
    channel_id: OwnerId | None = None
    resource_id: OwnerId | None = None
    task_id: OwnerId | None = None
    label: list[str] | None = Field(
        default=None, max_length=16, description="`name:value`; repeat the parameter for more than one."
    )
    created_after: Moment | None = None
    created_before: Moment | None = None


class SessionError(Shape):
    """Why a session failed."""

    code: str
    message: str


class Session(Shape):
    """A session."""

    session_id: str
    agent_id: str
    session_type: SessionTypeName
    state: SessionStateName
    mode: str | None
    title: str | None
    task: str | None
    task_id: str | None
    workspace: str | None
    user_id: str | None
    channel_id: str | None
    resource_id: str | None
    labels: dict[str, str]
    context: JsonObject
    metadata: JsonObject
    restart_count: int
    restarted_from: str | None
    last_seq: int
    result: Any
    error: SessionError | None
    created_by: str | None
    etag: str
    created_at: Time | None
    updated_at: Time | None
    started_at: Time | None
    ended_at: Time | None


class Started(Shape):
    """The session that is live now."""

    session_id: str
    status: Literal["active"]
    session: Session


class Restarted(Started):
    """The session that is live now, and the one that it succeeded."""

    previous: Session | None


class Stopped(Shape):
    """The session that was stopped; null when there was none to stop."""

    session_id: str | None
    status: Literal["stopped"]
    session: Session | None


class SessionList(Shape):
    """A page of sessions, newest first; `count` is how many are on the page."""

    count: int
    sessions: list[Session]
    next_page_token: str | None
