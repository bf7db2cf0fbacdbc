"""Converts single values for the compiled readers and writers: times, durations, and JSON text."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

import orjson
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

_NANOSECONDS = 1_000_000_000
_LONGEST_SECONDS = 1_000_000_000
_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s", re.ASCII)
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EMPTY_OBJECT = orjson.Fragment(b"{}")
digits = re.compile(r"\d{1,9}", re.ASCII).fullmatch
"""Matches a whole number in a query."""


def write_timestamp(time: Timestamp) -> str:
    """Write a Timestamp as RFC 3339 in UTC, with microseconds."""
    return f"{_second(time.seconds)}.{time.nanos // 1000:06d}Z"


def write_duration(span: Duration) -> float:
    """Write a Duration as a number of seconds."""
    return span.seconds + span.nanos / _NANOSECONDS if span.nanos else span.seconds


def embed(text: str) -> orjson.Fragment:
    """Embed JSON text on one line. Line breaks in its strings are escaped, so every other one is only white space."""
    return orjson.Fragment(text.replace("\r", " ").replace("\n", " ") if "\n" in text or "\r" in text else text)


@lru_cache(4096)
def camel(name: str) -> str:
    """Write a snake_case name in camelCase."""
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def set_duration(span: Duration, value: object) -> None:
    """Set a Duration from a number of seconds or a text such as `30s`; raises ValueError with the rule."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LONGEST_SECONDS:
        nanoseconds = round(value * _NANOSECONDS)
    else:
        match = _SPAN.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise ValueError("must be a number of seconds, or a text such as 30s")
        nanoseconds = int(Decimal(match.group(1)) * _NANOSECONDS)
    span.seconds, span.nanos = divmod(nanoseconds, _NANOSECONDS)


def set_timestamp(time: Timestamp, value: object) -> None:
    """Set a Timestamp from an RFC 3339 time with up to nine decimals; raises ValueError with the rule."""
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a time as in RFC 3339, such as 2026-01-31T09:30:00Z")
    day, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{zone.upper()}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a valid time") from None
    since = moment - _EPOCH  # not `timestamp()`: a float loses nanoseconds
    time.seconds, time.nanos = since.days * 86_400 + since.seconds, int((fraction or "").ljust(9, "0"))


@lru_cache(4096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
