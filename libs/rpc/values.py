"""Conversions that all handlers share."""

from datetime import datetime

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
