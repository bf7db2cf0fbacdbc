"""Routes of the work stream."""

from google.protobuf.message import Message

from libs.errors import Reason, field_invalid
from services.gateway.models import events as models
from services.gateway.routes.operation import VERSION, Answer, Asked, Operation, Reply
from services.gateway.translation import events

_TAG = "Events"
_SERVICE = "callboard.events.v1.EventService"
_OF_SESSION = f"{VERSION}/agent-sessions/{{sessionId}}/events"
STREAM = Answer(
    "Server-Sent Events: `id` is the event's cursor, `event` its type, `data` the event as JSON on one line. "
    "Comments keep the connection alive.",
    streams=True,
)
_ENDED = Answer("The session has ended and all of its events were received: nothing to resume.")


def _page_request(asked: Asked) -> Message:
    if asked.query.from_ is not None:
        raise field_invalid("from", "is for streams; ask for text/event-stream")
    return events.list_request(asked.path["sessionId"], asked.query)


def _session_stream(asked: Asked) -> Message:
    for name, value in (("pageSize", asked.query.page_size), ("pageToken", asked.query.page_token)):
        if value is not None:
            raise field_invalid(name, "is for pages; ask for application/json")
    return events.stream_request(asked.query, asked.last_event_id, session_id=asked.path["sessionId"])


OF_SESSION = Operation(
    name="getSessionEvents",
    method="GET",
    path=_OF_SESSION,
    tag=_TAG,
    summary="Follow a session's events until its closing event, or read them by page (`Accept: application/json`)",
    rpc=f"{_SERVICE}.ListEvents",
    query=models.SessionEventQuery,
    request=_page_request,
    reply=lambda response, _: Reply(200, events.events_json(response)),
    follow=_session_stream,
    answers={200: Answer("A page of events, oldest first, or a stream.", models.EventList, streams=True), 204: _ENDED},
    errors=(Reason.SESSION_NOT_FOUND, Reason.CURSOR_EXPIRED),
    names={"cursor": "from", "page_token": "pageToken"},
)
APPEND = Operation(
    name="appendSessionEvents",
    method="POST",
    path=_OF_SESSION,
    tag=_TAG,
    summary="Append events of one's own to a live session",
    rpc=f"{_SERVICE}.AppendEvents",
    body=models.NewEvents,
    other_body=models.NewEvent,
    request=lambda asked: events.append_request(asked.path["sessionId"], asked.body, asked.request_id),
    reply=lambda response, _: Reply(201, events.appended_json(response)),
    answers={201: Answer("The events are stored.", models.Appended)},
    errors=(Reason.SESSION_NOT_FOUND, Reason.SESSION_NOT_ACTIVE),
)
OF_AGENT = Operation(
    name="followAgentEvents",
    method="GET",
    path=f"{VERSION}/agents/{{agentId}}/events",
    tag=_TAG,
    summary="Follow an agent's events across its sessions, from now on unless told otherwise",
    rpc=f"{_SERVICE}.StreamEvents",
    query=models.FollowQuery,
    follow=lambda asked: events.stream_request(asked.query, asked.last_event_id, agent_id=asked.path["agentId"]),
    answers={200: STREAM},
    errors=(Reason.AGENT_NOT_FOUND, Reason.CURSOR_EXPIRED),
    names={"cursor": "from"},
)
OPERATIONS = (OF_SESSION, APPEND, OF_AGENT)
