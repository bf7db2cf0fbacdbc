"""The options of `callboard dlq`, read and checked before anything is sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from callboard.commands.v1 import commands_pb2
from callboard.errors.v1 import errors_pb2
from services.cli.arguments import DURATION, read_bytes, read_duration
from services.cli.errors import UsageError

_Value = TypeVar("_Value")
_REASON = "ERROR_REASON_"
_REQUEUED = {
    "": commands_pb2.REQUEUED_FILTER_UNSPECIFIED,
    "true": commands_pb2.REQUEUED_FILTER_REQUEUED,
    "false": commands_pb2.REQUEUED_FILTER_NOT_REQUEUED,
    "any": commands_pb2.REQUEUED_FILTER_ANY,
}
_PRIORITIES = {
    "": commands_pb2.COMMAND_PRIORITY_UNSPECIFIED,
    "high": commands_pb2.COMMAND_PRIORITY_HIGH,
    "normal": commands_pb2.COMMAND_PRIORITY_NORMAL,
    "low": commands_pb2.COMMAND_PRIORITY_LOW,
}


@dataclass(frozen=True, kw_only=True)
class Filters:
    """The filter options, as typed. Empty means not given."""

    agent: str = ""
    session: str = ""
    type: str = ""
    reasons: Sequence[str] = ()
    after: str = ""
    before: str = ""
    requeued: str = ""
    correlation: str = ""

    @property
    def are_given(self) -> bool:
        """Whether any filter was given."""
        return any(getattr(self, field.name) for field in fields(self))

    def read(self, now: datetime) -> commands_pb2.DeadLetterFilter:
        """Return the filter; raises UsageError for an invalid option."""
        return commands_pb2.DeadLetterFilter(
            agent_id=self.agent,
            session_id=self.session,
            type=self.type,
            reasons=[read_reason(name) for name in dict.fromkeys(self.reasons)],
            dead_after=read_moment("--after", self.after, now),
            dead_before=read_moment("--before", self.before, now),
            requeued=one_of("--requeued", self.requeued, _REQUEUED),
            correlation_id=self.correlation,
        )


@dataclass(frozen=True, kw_only=True)
class SelectionOptions:
    """The dead letters to act on: those with `ids`, or all that match `matching` unless it is None."""

    ids: tuple[str, ...] = ()
    matching: commands_pb2.DeadLetterFilter | None = None


def select(
    ids: Sequence[str], filters: Filters, *, everything: bool, limit: int | None, now: datetime
) -> SelectionOptions:
    """Return the dead letters to act on; raises UsageError unless either ids or a filter select them."""
    filtered = filters.are_given
    if ids:
        if filtered or everything or limit is not None:
            raise UsageError("select dead letters by ids or by a filter, not by both")
        return SelectionOptions(ids=tuple(dict.fromkeys(ids)))
    if not filtered and not everything:
        raise UsageError("select dead letters by ids, by a filter or with --all")
    return SelectionOptions(matching=filters.read(now))


def read_options(
    *, attempts: int, timeout: str, priority: str, not_before: str, into: str
) -> commands_pb2.RequeueOptions:
    """Return the options of requeued commands."""
    return commands_pb2.RequeueOptions(
        max_attempts=attempts,
        timeout=_duration(read_duration("--timeout", timeout)) if timeout else None,
        priority=one_of("--priority", priority, _PRIORITIES),
        not_before=read_moment("--not-before", not_before, datetime.now(UTC), ahead=True),
        session_id=into,
    )


def read_params(text: str | None) -> str | None:
    """Return the given JSON, that in the file for `@path`, or that on standard input for `-`."""
    if text is None:
        return None
    try:
        return read_bytes("--params", text).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"--params: must be UTF-8; byte {error.start} is not") from error


def read_reason(name: str) -> errors_pb2.ErrorReason.ValueType:
    """Return a reason by its name, in upper or lower case."""
    known = [known.removeprefix(_REASON) for known, number in errors_pb2.ErrorReason.items() if number]
    asked = name.strip().upper().replace("-", "_")
    if asked not in known:
        near = get_close_matches(asked, known, 1)
        raise UsageError(f"--reason: there is no reason {name}" + (f"; did you mean {near[0]}?" if near else ""))
    return errors_pb2.ErrorReason.Value(_REASON + asked)


def read_moment(option: str, text: str, now: datetime, *, ahead: bool = False) -> Timestamp | None:
    """Return a time, given in RFC 3339 or as a duration such as `2h`: before now, or after now if `ahead`."""
    if not text:
        return None
    no_time = UsageError(f"{option}: {text!r} is not a time; write 2026-01-31T09:30:00Z, or a duration such as 2h")
    made = Timestamp()
    try:
        if DURATION.fullmatch(text):
            duration = read_duration(option, text)
            moment = now + duration if ahead else now - duration
        else:
            moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            made.FromDatetime(moment.astimezone(UTC).replace(tzinfo=None))
            return made
    except (ValueError, OverflowError):
        raise no_time from None
    raise UsageError(f"{option}: {text!r} has no time zone; end it with Z, or +02:00")


def one_of(option: str, text: str, values: Mapping[str, _Value]) -> _Value:
    """Return the value of a word."""
    if text not in values:
        raise UsageError(f"{option}: {text!r} is not one of {', '.join(filter(None, values))}")
    return values[text]


def _duration(duration: timedelta) -> Duration:
    made = Duration()
    made.FromTimedelta(duration)
    return made
