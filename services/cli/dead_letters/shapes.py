"""Dead letters as JSON, in the words of the REST API."""

from typing import Any

import orjson
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from callboard.commands.v1 import commands_pb2
from callboard.errors.v1 import errors_pb2

_PRIORITY = "COMMAND_PRIORITY_"
_OUTCOME = "ATTEMPT_OUTCOME_"


def letter_shape(letter: commands_pb2.DeadLetter) -> dict[str, Any]:
    """Returns a dead letter without its attempts."""
    command, options = letter.command, letter.command.options
    return {
        "id": command.command_id,
        "agentId": command.agent_id,
        "sessionId": command.session_id,
        "type": command.type,
        "reason": reason_of(letter.reason),
        "error": error_shape(command.error) if command.HasField("error") else None,
        "deadAt": time_of(letter.dead_at),
        "requeuedAs": letter.requeued_as or None,
        "requeuedFrom": command.requeued_from or None,
        "correlationId": command.correlation_id,
        "requestedBy": command.requested_by or None,
        "enqueuedAt": time_of(command.enqueued_at),
        "attempt": command.attempt,
        "chargedAttempts": command.charged_attempts,
        "maxAttempts": options.max_attempts,
        "timeout": seconds_of(options.timeout),
        "priority": commands_pb2.CommandPriority.Name(options.priority).removeprefix(_PRIORITY).lower(),
        "orderingKey": options.ordering_key or None,
        "params": json_of(command.params_json),
    }


def whole_letter_shape(letter: commands_pb2.DeadLetter) -> dict[str, Any]:
    """Returns a dead letter with its attempts."""
    return {**letter_shape(letter), "attempts": [attempt_shape(attempt) for attempt in letter.attempts]}


def attempt_shape(attempt: commands_pb2.Attempt) -> dict[str, Any]:
    """Returns one attempt."""
    return {
        "attempt": attempt.attempt,
        "outcome": commands_pb2.AttemptOutcome.Name(attempt.outcome).removeprefix(_OUTCOME).lower(),
        "charged": attempt.charged,
        "runnerId": attempt.runner_id or None,
        "startedAt": time_of(attempt.started_at),
        "endedAt": time_of(attempt.ended_at),
        "duration": seconds_of(attempt.duration),
        "error": error_shape(attempt.error) if attempt.HasField("error") else None,
    }


def error_shape(error: commands_pb2.CommandError) -> dict[str, Any]:
    """Returns why an attempt failed."""
    return {
        "code": reason_of(error.code),
        "message": error.message,
        "retryable": error.retryable,
        "details": json_of(error.details_json),
    }


def refusal_shape(error: commands_pb2.BulkSubmitRefusal) -> dict[str, Any]:
    """Returns why one of many was refused."""
    return {
        "reason": reason_of(error.reason),
        "message": error.message,
        "metadata": {_camel(name): value for name, value in sorted(error.metadata.items())},
    }


def reason_of(number: int) -> str:
    """Returns a reason's name; one of a later version of the contract is told by its number."""
    try:
        return errors_pb2.ErrorReason.Name(number).removeprefix("ERROR_REASON_")  # type: ignore[arg-type]
    except ValueError:
        return f"REASON_{number}"


def time_of(time: Timestamp) -> str:
    """Returns a time as in RFC 3339, in UTC."""
    return f"{time.ToDatetime():%Y-%m-%dT%H:%M:%S.%f}Z"


def seconds_of(span: Duration) -> float:
    """Returns a span in seconds."""
    return span.ToNanoseconds() / 1e9


def json_of(text: str) -> Any:
    """Returns the value of JSON text; what cannot be read as such stays text."""
    try:
        return orjson.loads(text) if text else {}
    except orjson.JSONDecodeError:
        return text


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)
