"""The routes of events: pages and streams on one path, and a single event as a body."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from google.protobuf.message import Message

from callboard.events.v1 import events_pb2
from libs.contract.fields import field_at
from libs.contract.operations import Operation
from libs.errors import field_invalid
from services.gateway.rest.reader import JsonObject, OperationReader
from services.gateway.rest.requests import ParsedRequest
from services.gateway.rest.routes import Route, response_writer

_STREAM = events_pb2.DESCRIPTOR.services_by_name["EventService"].methods_by_name["StreamEvents"]
_PAGE_NAMES = ("pageSize", "pageToken")


def session_events(operation: Operation) -> Route:
    """Return the route of a session's events, as pages or as a stream."""
    pages, streams = OperationReader(operation), OperationReader(replace(operation, method=_STREAM))

    def read(request: ParsedRequest) -> Message:
        values = pages.query(request)
        page = pages.from_query(request, _without(values, "from"))
        if "from" in values:
            streams.from_query(request, {"from": values["from"]})
            raise field_invalid("from", "is for streams; ask for text/event-stream")
        return page

    def follow(request: ParsedRequest) -> Message | None:
        if not _wants_stream(request):
            return None
        values = pages.query(request)
        pages.from_query(request, _without(values, "from"))
        stream = streams.from_query(request, _without(values, *_PAGE_NAMES))
        for name in _PAGE_NAMES:
            if name in values:
                raise field_invalid(name, "is for pages; ask for application/json")
        return _resumed(stream, request)

    return Route(
        operation, read, response_writer(operation), follow, more_query=(field_at(_STREAM.input_type, "cursor"),)
    )


def agent_events(operation: Operation) -> Route:
    """Return the route of an agent's events, which is always a stream."""
    reader = OperationReader(operation)

    def follow(request: ParsedRequest) -> Message:
        return _resumed(reader(request), request)

    return Route(operation, follow, response_writer(operation), follow)


def append_events(operation: Operation) -> Route:
    """Return the route that appends events. It also takes a single event as its body."""

    def adapt(given: JsonObject) -> JsonObject:
        return {"events": [given]} if "type" in given else given

    reader = OperationReader(operation, adapt)
    return Route(
        operation,
        reader,
        response_writer(operation),
        other_body=field_at(operation.method.input_type, "events").message,
    )


def _resumed(stream: Any, request: ParsedRequest) -> Message:
    """Let Last-Event-ID, which a client that reconnects sends, override where the query says to begin."""
    if request.last_event_id:
        stream.cursor = request.last_event_id
    return stream  # type: ignore[no-any-return]


def _wants_stream(request: ParsedRequest) -> bool:
    """Return whether the caller asks for a stream.

    A client that accepts anything, such as `curl`, gets a stream, unless it gives a page size or a page token.
    """
    accept = request.headers.get(b"accept", b"").lower()
    if b"text/event-stream" in accept:
        return True
    return accept.strip() in (b"", b"*/*") and not any(f"{name}=".encode() in request.query for name in _PAGE_NAMES)


def _without(values: Mapping[str, Any], *names: str) -> JsonObject:
    return {name: value for name, value in values.items() if name not in names}
