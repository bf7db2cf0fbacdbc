"""Conversions that all handlers share."""

from dataclasses import fields
from datetime import datetime
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from libs.calls import Actor
from libs.rpc.caller import current_caller


def actor() -> Actor:
    """Return the caller as an actor."""
    caller = current_caller()
    return Actor(caller.tenant_id, caller.principal, caller.address)


def timestamp(time: datetime | None) -> Timestamp | None:
    """Convert a time to a Timestamp."""
    if time is None:
        return None
    message = Timestamp()
    message.FromDatetime(time)
    return message


def shared_scalars(message: type[Message], values: type[Any]) -> tuple[str, ...]:
    """Return the names of the single strings, numbers and booleans that a message and a dataclass share."""
    scalars = {
        field.name
        for field in message.DESCRIPTOR.fields
        if field.cpp_type not in (field.CPPTYPE_MESSAGE, field.CPPTYPE_ENUM) and not field.is_repeated
    }
    return tuple(field.name for field in fields(values) if field.name in scalars)
