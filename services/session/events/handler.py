"""The gRPC servicer of the work stream."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from callboard.events.v1 import events_pb2, events_pb2_grpc
from libs.calls import DEFAULT_PAGE_SIZE, list_scope, read_page_token, write_page_token
from libs.errors import ServiceError
from libs.idempotency import key_of
from libs.jsontext import check_object
from libs.rpc import Context, actor, current_caller
from services.session.events.convert import event_message
from services.session.events.model import Cursor, EventFilter, NewEvent
from services.session.events.service import Events, Follower, Step

_ENDED = (("callboard-stream", "ended"),)
_LIVE = (("callboard-stream", "live"),)


class EventServicer(events_pb2_grpc.EventServiceServicer):
    """Converts and delegates. The interceptor has validated and authorised each request."""

    def __init__(self, events: Events, follower: Follower) -> None:
        self._events = events
        self._follower = follower

    async def ListEvents(
        self, request: events_pb2.ListEventsRequest, context: Context
    ) -> events_pb2.ListEventsResponse:
        """Return a page of a session's events."""
        tenant_id, size = current_caller().tenant_id, request.page_size or DEFAULT_PAGE_SIZE
        head = await self._events.head(tenant_id, request.session_id)
        wanted = EventFilter.of(request.types, request.levels)
        filters = {"types": sorted(request.types), "levels": sorted(request.levels)}
        scope = list_scope("events", {"session_id": request.session_id, **filters})
        found, has_more = await self._events.find(tenant_id, head, wanted, _after(request, scope), size)
        token = write_page_token(scope, {"seq": str(found[-1].seq)}) if has_more else ""
        return events_pb2.ListEventsResponse(events=[event_message(event) for event in found], next_page_token=token)

    async def StreamEvents(
        self, request: events_pb2.StreamEventsRequest, context: Context
    ) -> AsyncIterator[events_pb2.StreamEventsResponse]:
        """Follow the events of a session or an agent."""
        tenant_id = current_caller().tenant_id
        wanted = EventFilter.of(request.types, request.levels)
        if request.WhichOneof("scope") == "session_id":
            session = await self._follower.of_session(
                tenant_id, request.session_id, request.cursor, from_now=request.start == events_pb2.STREAM_START_NOW
            )
            await context.send_initial_metadata(_ENDED if session.is_over else _LIVE)
            steps = self._follower.follow(session, wanted, is_live=session.is_live)
        else:
            agent = await self._follower.of_agent(
                tenant_id,
                request.agent_id,
                request.cursor,
                from_start=request.start == events_pb2.STREAM_START_BEGINNING,
            )
            await context.send_initial_metadata(_LIVE)
            steps = self._follower.follow(agent, wanted)
        async with aclosing(steps):
            async for step in steps:
                yield _response(step)

    async def AppendEvents(
        self, request: events_pb2.AppendEventsRequest, context: Context
    ) -> events_pb2.AppendEventsResponse:
        """Append the caller's events."""
        events = [_new_event(event, index) for index, event in enumerate(request.events)]
        done = await self._events.append(actor(), request.session_id, events, key_of("append", request))
        return events_pb2.AppendEventsResponse(first_seq=done.first_seq, last_seq=done.last_seq)


def _after(request: events_pb2.ListEventsRequest, scope: str) -> int:
    """Return the seq after which the page begins: that of a page token, or of a cursor of the session's stream."""
    if not request.page_token:
        return 0
    try:
        keyset = read_page_token(scope, request.page_token, keys=frozenset({"seq"}))
        return int(keyset["seq"]) if keyset else 0
    except ServiceError:
        try:
            return Cursor.read(request.page_token, f"session/{request.session_id}").at
        except ServiceError:
            pass
        raise


def _new_event(event: events_pb2.NewEvent, index: int) -> NewEvent:
    payload = check_object(event.payload_json, f"events[{index}].payload_json")
    return NewEvent(event.type, event.level or 1, event.command_id or None, event.correlation_id, payload)


def _response(step: Step) -> Any:
    cursor = step.cursor.text()
    if step.ended:
        return events_pb2.StreamEventsResponse(end=events_pb2.StreamEnd(), cursor=cursor)
    if step.batch is None:
        return events_pb2.StreamEventsResponse(keepalive=events_pb2.Keepalive(), cursor=cursor)
    if step.batch.wire is None:
        # The batch is encoded once for all of its readers. They all follow the same session, or the same agent.
        session = step.cursor.scope.startswith("session/")
        streamed = [
            events_pb2.StreamedEvent(
                event=event_message(event),
                cursor=Cursor(
                    step.cursor.scope, step.cursor.incarnation, event.seq if session else event.position
                ).text(),
            )
            for event in step.batch.events
        ]
        response = events_pb2.StreamEventsResponse(batch=events_pb2.EventBatch(events=streamed), cursor=cursor)
        step.batch.wire = response.SerializeToString()
    return step.batch.wire
