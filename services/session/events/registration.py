"""Registers the event service, with a stream that can send encoded messages.

All readers of a batch of events get the same bytes. Generated code would encode the batch for each of them.
"""

from typing import Any

import grpc

from callboard.events.v1 import events_pb2
from services.session.events.handler import EventServicer

EVENT_SERVICE = "callboard.events.v1.EventService"


def add_event_servicer(servicer: EventServicer, server: grpc.aio.Server) -> None:
    """Add the event service to a server."""
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
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(EVENT_SERVICE, handlers),))


def _encoded(response: Any) -> bytes:
    encoded: bytes = response if isinstance(response, bytes) else response.SerializeToString()
    return encoded
