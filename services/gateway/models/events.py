"""Events of the work stream."""

from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from services.gateway.models.shape import (
    Body,
    CorrelationId,
    EventType,
    JsonObject,
    Level,
    Page,
    Query,
    Shape,
    Time,
)


class NewEvent(Body):
    """An event of the caller's own."""

    type: str = Field(
        max_length=128,
        pattern=r"^(iteration|learning|tool\.called|custom(\.[a-z][a-z0-9_]*)+)$",
        description="`iteration`, `learning`, `tool.called`, or a type under `custom.`.",
    )
    level: Literal["info", "warn", "error"] | None = None
    command_id: str | None = Field(default=None, pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
    correlation_id: CorrelationId | None = None
    payload: JsonObject | None = Field(default=None, description="At most 256 KiB of JSON.")


class NewEvents(Body):
    """Events to append: all of them or, when one is refused, none."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"events": [{"type": "custom.note", "payload": {"text": "half way"}}]}]}
    )

    events: list[NewEvent] = Field(min_length=1, max_length=1000)

    @model_validator(mode="before")
    @classmethod
    def _wrap(cls, value: Any) -> Any:
        """Take one event by itself, too."""
        return {"events": [value]} if isinstance(value, dict) and "type" in value else value


class EventFilter(Query):
    """Which events."""

    types: list[EventType] | None = Field(
        default=None, max_length=50, description="Only these types; a trailing `.*` takes all of a family."
    )
    levels: list[Level] | None = Field(default=None, max_length=4, description="Only these levels.")


class FollowQuery(EventFilter):
    """Where a stream begins, and which events it carries."""

    from_: str | None = Field(
        default=None,
        alias="from",
        max_length=1024,
        description="`start`, `now`, or the id of an event that was streamed. `Last-Event-ID` wins over it.",
    )


class SessionEventQuery(FollowQuery, Page):
    """Which events: a page of them, or where their stream begins."""


class Event(Shape):
    """Something that happened, stored for good."""

    event_id: str
    seq: int
    type: str
    level: Level
    session_id: str
    agent_id: str | None
    command_id: str | None
    correlation_id: str | None
    actor: str | None
    payload: JsonObject
    created_at: Time | None


class EventList(Shape):
    """A page of events, oldest first."""

    events: list[Event]
    next_page_token: str | None


class Appended(Shape):
    """The numbers of the events that were appended."""

    first_seq: int
    last_seq: int
