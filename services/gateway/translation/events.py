"""Events: JSON to messages and back, and frames of Server-Sent Events."""

from typing import Any

import orjson

from callboard.events.v1 import events_pb2
from services.gateway.models import events as models
from services.gateway.translation.values import json_object, json_text, time_text

_LEVELS = {
    number: name.removeprefix("EVENT_LEVEL_").lower() for name, number in events_pb2.EventLevel.items() if number
}
_LEVEL_NUMBERS = {name: events_pb2.EventLevel.ValueType(number) for number, name in _LEVELS.items()}
_STARTS = {"start": events_pb2.STREAM_START_BEGINNING, "now": events_pb2.STREAM_START_NOW}
COMMENT_KEEPALIVE = b": keepalive\n\n"


def list_request(session_id: str, query: models.SessionEventQuery) -> events_pb2.ListEventsRequest:
    """Ask for a page of a session's events."""
    return events_pb2.ListEventsRequest(
        session_id=session_id,
        page_size=query.page_size or 0,
        page_token=query.page_token or "",
        types=query.types or (),
        levels=_levels(query),
    )


def stream_request(
    query: models.FollowQuery, last_event_id: str, *, session_id: str = "", agent_id: str = ""
) -> events_pb2.StreamEventsRequest:
    """Ask to follow events; the id of the last event wins over `from`."""
    start = _STARTS.get(query.from_ or "")
    request = events_pb2.StreamEventsRequest(
        cursor=last_event_id or ("" if start else query.from_ or ""),
        start=start or events_pb2.STREAM_START_UNSPECIFIED,
        types=query.types or (),
        levels=_levels(query),
    )
    if agent_id:
        request.agent_id = agent_id
    else:
        request.session_id = session_id
    return request


def append_request(session_id: str, body: models.NewEvents, request_id: str) -> events_pb2.AppendEventsRequest:
    """Ask for events to be appended."""
    return events_pb2.AppendEventsRequest(
        session_id=session_id, events=[_new_event(event) for event in body.events], request_id=request_id
    )


def event_json(event: events_pb2.Event) -> dict[str, Any]:
    """Write an event."""
    return {
        "eventId": event.event_id,
        "seq": event.seq,
        "type": event.type,
        "level": _LEVELS[event.level],
        "sessionId": event.session_id,
        "agentId": event.agent_id or None,
        "commandId": event.command_id or None,
        "correlationId": event.correlation_id or None,
        "actor": event.actor or None,
        "payload": json_object(event.payload_json),
        "createdAt": time_text(event, "created_at"),
    }


def events_json(response: events_pb2.ListEventsResponse) -> dict[str, Any]:
    """Write a page of events."""
    return {
        "events": [event_json(event) for event in response.events],
        "nextPageToken": response.next_page_token or None,
    }


def appended_json(response: events_pb2.AppendEventsResponse) -> dict[str, Any]:
    """Say where the events are."""
    return {"firstSeq": response.first_seq, "lastSeq": response.last_seq}


def frames(batch: events_pb2.EventBatch) -> bytes:
    """Write a batch as Server-Sent Events: the cursor as id, the type as event, the event on one line as data."""
    return b"".join(
        b"id: %b\nevent: %b\ndata: %b\n\n"
        % (streamed.cursor.encode(), streamed.event.type.encode(), orjson.dumps(event_json(streamed.event)))
        for streamed in batch.events
    )


def bookmark(cursor: str) -> bytes:
    """Write a frame that dispatches nothing, and from which a client resumes nevertheless."""
    return b"id: %b\n\n" % cursor.encode()


def comment(text: str) -> bytes:
    """Write a comment, which clients skip."""
    return b": %b\n\n" % text.encode()


def _levels(query: models.EventFilter) -> list[events_pb2.EventLevel.ValueType]:
    return [_LEVEL_NUMBERS[level] for level in query.levels or ()]


def _new_event(event: models.NewEvent) -> events_pb2.NewEvent:
    return events_pb2.NewEvent(
        type=event.type,
        level=_LEVEL_NUMBERS.get(event.level or "", events_pb2.EVENT_LEVEL_UNSPECIFIED),
        command_id=event.command_id or "",
        correlation_id=event.correlation_id or "",
        payload_json=json_text(event.payload),
    )
