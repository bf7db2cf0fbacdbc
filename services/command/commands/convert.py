"""Converts between the contract's messages and the values of commands."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from google.protobuf.duration_pb2 import Duration

from callboard.commands.v1 import commands_pb2
from callboard.errors.v1 import errors_pb2
from libs.errors import ServiceError, field_invalid
from libs.idempotency import fingerprint
from libs.jsontext import check_object
from libs.rpc import shared_scalars, timestamp
from services.command.commands.model import (
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_RETENTION_S,
    DEFAULT_RUN_OPTIONS,
    RUN_OPTIONS,
    Command,
    CommandState,
    NewCommand,
    RunOptions,
    Submitted,
)

STATES = {
    number: CommandState(name.removeprefix("COMMAND_STATE_").lower())
    for name, number in commands_pb2.CommandState.items()
    if number
}
_STATE_NUMBERS = {name: number for number, name in STATES.items()}
PRIORITIES = {0: 1, 1: 0, 2: 1, 3: 2}  # from the contract's number to the stored one
_PRIORITY_NUMBERS = {0: 1, 1: 2, 2: 3}
_YEAR = timedelta(days=366)
_SCALARS = shared_scalars(commands_pb2.CommandOptions, RunOptions)
_DURATIONS = tuple(name.removesuffix("_ms") for name in RUN_OPTIONS if name.endswith("_ms"))


def command_id_of(text: str) -> UUID | None:
    """Parse a command's id; None when it is not a UUID, which no command has."""
    try:
        return UUID(text)
    except ValueError:
        return None


def new_command(spec: commands_pb2.CommandSpec, path: str) -> NewCommand:
    """Convert a command from a request, and fill in the defaults. Raises ServiceError."""
    options = spec.options
    not_before = not_before_of(options, f"{path}.options")
    return NewCommand(
        **_run_options(options, f"{path}.options"),
        agent_id=spec.agent_id,
        session_id=spec.session_id,
        type=spec.type,
        params=check_object(spec.params_json, f"{path}.params_json"),
        correlation_id=spec.correlation_id,
        max_attempts=options.max_attempts or DEFAULT_MAX_ATTEMPTS,
        priority=PRIORITIES[options.priority],
        not_before=not_before,
        ordering_key=options.ordering_key,
        retention_s=options.retention.seconds if options.HasField("retention") else DEFAULT_RETENTION_S,
        key=spec.request_id,
        hash=fingerprint(spec) if spec.request_id else b"",
    )


def not_before_of(
    options: commands_pb2.CommandOptions | commands_pb2.RequeueOptions, path: str
) -> datetime | None:  # fmt: skip
    """Return the time before which a command must not run. Raises ServiceError when it is too far ahead."""
    if not options.HasField("not_before"):
        return None
    not_before = options.not_before.ToDatetime(tzinfo=UTC)
    if not_before > datetime.now(UTC) + _YEAR:
        raise field_invalid(f"{path}.not_before", "must be at most a year ahead")
    return not_before


def _run_options(options: commands_pb2.CommandOptions, path: str) -> dict[str, Any]:
    run = DEFAULT_RUN_OPTIONS.run_options()
    for field, value in options.ListFields():
        if field.name in _SCALARS:
            run[field.name] = value
        elif field.name in _DURATIONS:
            run[f"{field.name}_ms"] = value.ToMilliseconds()
    if run["max_backoff_ms"] < run["backoff_ms"]:
        if options.HasField("max_backoff"):
            raise field_invalid(f"{path}.max_backoff", "must not be less than backoff")
        run["max_backoff_ms"] = run["backoff_ms"]
    return run


def accepted(done: Submitted) -> commands_pb2.AcceptedCommand:
    """Convert the answer to a submit."""
    return commands_pb2.AcceptedCommand(
        command_id=str(done.command_id),
        correlation_id=done.correlation_id,
        agent_id=done.agent_id,
        session_id=done.session_id,
        enqueued_at=timestamp(done.enqueued_at),
    )


def rejection(error: ServiceError) -> commands_pb2.BulkSubmitRefusal:
    """Convert the error of one item of a batch."""
    return commands_pb2.BulkSubmitRefusal(
        reason=reason_number(error.reason.value), message=error.message, metadata=error.metadata
    )


def reason_number(name: str) -> errors_pb2.ErrorReason.ValueType:
    """Return the number of a reason in the contract."""
    return errors_pb2.ErrorReason.Value(f"ERROR_REASON_{name}")


def reason_name(number: errors_pb2.ErrorReason.ValueType) -> str:
    """Return a reason's name, empty when none is given."""
    return errors_pb2.ErrorReason.Name(number).removeprefix("ERROR_REASON_") if number else ""


def command_message(command: Command) -> commands_pb2.Command:
    """Convert a stored command to its message."""
    return commands_pb2.Command(
        command_id=str(command.command_id),
        correlation_id=command.correlation_id,
        agent_id=command.agent_id,
        session_id=command.session_id,
        type=command.type,
        params_json=command.params,
        options=_options(command),
        state=commands_pb2.CommandState.ValueType(_STATE_NUMBERS[command.state]),
        attempt=command.attempt,
        charged_attempts=command.charged,
        progress=_progress(command.progress),
        result_json=command.result or "",
        error=error_message(command.error),
        requested_by=command.requested_by,
        requeued_from=str(command.requeued_from or ""),
        enqueued_at=timestamp(command.enqueued_at),
        started_at=timestamp(command.started_at),
        finished_at=timestamp(command.finished_at),
        next_attempt_at=timestamp(command.next_attempt_at),
        cancel_requested_at=timestamp(command.cancel_requested_at),
    )


def _options(command: Command) -> commands_pb2.CommandOptions:
    return commands_pb2.CommandOptions(
        **_matched(command),
        max_attempts=command.max_attempts,
        priority=commands_pb2.CommandPriority.ValueType(_PRIORITY_NUMBERS[command.priority]),
        not_before=timestamp(command.not_before),
        ordering_key=command.ordering_key or "",
        retention=_duration(command.retention_s * 1000),
    )


def _matched(command: Command) -> dict[str, Any]:
    scalars = {name: getattr(command, name) for name in _SCALARS}
    return scalars | {name: _duration(getattr(command, f"{name}_ms")) for name in _DURATIONS}


def _duration(milliseconds: int | None) -> Duration | None:
    """Return a Duration, None for None."""
    if milliseconds is None:
        return None
    span = Duration()
    span.FromMilliseconds(milliseconds)
    return span


def _progress(text: str | None) -> commands_pb2.CommandProgress | None:
    if text is None:
        return None
    value = orjson.loads(text)
    return commands_pb2.CommandProgress(
        progress=value["progress"], total=value["total"] or 0.0, message=value["message"] or ""
    )


def error_message(text: str | None) -> commands_pb2.CommandError | None:
    """Convert an error that is stored as JSON text."""
    if text is None:
        return None
    value = orjson.loads(text)
    return commands_pb2.CommandError(
        code=reason_number(value["code"]),
        message=value["message"],
        retryable=value["retryable"],
        details_json=orjson.dumps(value.get("details") or {}).decode(),
    )
