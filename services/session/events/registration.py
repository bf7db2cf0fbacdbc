"""Registers the event service, with a stream that can send encoded messages.

All readers of a batch of events get the same bytes. Generated code would encode the batch for each of them.
"""

from typing import Any

import grpc

from callboard.events.v1 import events_pb2
from libs.rpc import Service
from services.session.events.handler import EventServicer
from services.session.events.ports import EventStore
from services.session.events.service import Events, Follower

_NAME = "callboard.events.v1.EventService"


def event_service(events: EventStore, follower: Follower) -> Service:
    """Return the service for a server."""
    return Service(_NAME, _register, EventServicer(Events(events), follower))


def _register(servicer: EventServicer, server: grpc.aio.Server) -> None:
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "ListEvents": grpc.unary_unary_rpc_method_handler(
            servicer.ListEvents,
            request_deserializer=events_pb2.ListEventsRequest.FromString,
            response_serializer=events_pb2.ListEventsResponse.SerializeToString,
        ),
        "StreamEvents": grpc.unary_stream_rpc_method_handler(
            servicer.StreamEvents,
            request_deserializer=events_pb2.StreamEventsRequest.FromString,
            response_serializer=_encoded,
        ),
        "AppendEvents": grpc.unary_unary_rpc_method_handler(
            servicer.AppendEvents,
            request_deserializer=events_pb2.AppendEventsRequest.FromString,
            response_serializer=events_pb2.AppendEventsResponse.SerializeToString,
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_NAME, handlers),))


def _encoded(response: Any) -> bytes:
    encoded: bytes = response if isinstance(response, bytes) else response.SerializeToString()
    return encoded
