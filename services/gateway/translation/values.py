"""Single values: times, spans, and JSON that travels as text."""

from datetime import UTC, datetime
from typing import Any

import orjson
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.translation.strict_json import write_json

_NANOSECONDS = 1_000_000_000
_EMPTY_OBJECT = orjson.Fragment(b"{}")


def time_text(message: Message, field: str) -> str | None:
    """Write a Timestamp field as RFC 3339 in UTC, with microseconds; None when it is absent."""
    if not message.HasField(field):
        return None
    time: Timestamp = getattr(message, field)
    moment = datetime.fromtimestamp(time.seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time.nanos // 1000:06d}Z"


def seconds(message: Message, field: str) -> float | None:
    """Write a Duration field as seconds; None when it is absent."""
    if not message.HasField(field):
        return None
    span: Duration = getattr(message, field)
    return span.seconds + span.nanos / _NANOSECONDS if span.nanos else span.seconds


def duration(nanoseconds: int | None) -> Duration | None:
    """Make a Duration of nanoseconds."""
    if nanoseconds is None:
        return None
    return Duration(seconds=nanoseconds // _NANOSECONDS, nanos=nanoseconds % _NANOSECONDS)


def timestamp(nanoseconds: int | None) -> Timestamp | None:
    """Make a Timestamp of nanoseconds since the epoch."""
    if nanoseconds is None:
        return None
    return Timestamp(seconds=nanoseconds // _NANOSECONDS, nanos=nanoseconds % _NANOSECONDS)


def json_object(text: str) -> orjson.Fragment:
    """Embed the text of a JSON object as it is, on one line; an empty text is `{}`."""
    return orjson.Fragment(_on_one_line(text)) if text else _EMPTY_OBJECT


def json_value(text: str) -> orjson.Fragment | None:
    """Embed the text of any JSON value as it is, on one line; an empty text is null."""
    return orjson.Fragment(_on_one_line(text)) if text else None


def json_text(value: dict[str, Any] | None) -> str:
    """Write a JSON object as text; one that was not given, or is empty, is an empty text."""
    return write_json(value) if value else ""


def _on_one_line(text: str) -> str:
    # Inside JSON's strings line breaks are escaped, so those that are left stand between tokens.
    return text.replace("\r", " ").replace("\n", " ") if "\n" in text or "\r" in text else text
