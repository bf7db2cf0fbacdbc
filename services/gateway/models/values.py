"""Reads times and spans as people write them."""

import re
from datetime import UTC, datetime
from decimal import Decimal

_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s", re.ASCII)
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_LONGEST_SECONDS = 1_000_000_000
_NANOSECONDS = 1_000_000_000


def read_nanoseconds(value: object) -> int:
    """Read a span, a number of seconds or a text such as `30s`, as nanoseconds; ValueError for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LONGEST_SECONDS:
        return round(value * _NANOSECONDS)
    match = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a number of seconds, or a text such as 30s")
    return int(Decimal(match.group(1)) * _NANOSECONDS)


def read_moment(value: object) -> int:
    """Read an RFC 3339 time as nanoseconds since the epoch; ValueError for anything else."""
    match = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a time as in RFC 3339, such as 2026-01-31T09:30:00Z")
    day, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{zone.upper()}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a time that exists") from None
    # Not `timestamp()`: a float loses nanoseconds.
    whole = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (whole.days * 86_400 + whole.seconds) * _NANOSECONDS + int((fraction or "").ljust(9, "0"))


def read_whole_number(value: object) -> int:
    """Read a number of a query; ValueError for anything but digits."""
    if not isinstance(value, str) or not re.fullmatch(r"\d{1,9}", value, re.ASCII):
        raise ValueError("must be a whole number")
    return int(value)
