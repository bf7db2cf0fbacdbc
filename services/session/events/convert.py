"""Converts events to the contract's messages."""

from google.protobuf.timestamp_pb2 import Timestamp

from callboard.events.v1 import events_pb2
from services.session.events.model import Event


def event_message(event: Event) -> events_pb2.Event:
    """Convert an event to its message."""
    return events_pb2.Event(
        event_id=event.event_id,
        seq=event.seq,
        type=event.type,
        level=events_pb2.EventLevel.ValueType(event.level),
        session_id=event.session_id,
        agent_id=event.agent_id,
        command_id=event.command_id,
        correlation_id=event.correlation_id,
        actor=event.actor,
        address=event.address,
        payload_json=event.payload,
        created_at=Timestamp(seconds=event.micros // 1_000_000, nanos=event.micros % 1_000_000 * 1000),
    )
