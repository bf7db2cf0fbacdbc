"""Builds the records of an attempt: the change of the command's row and the events that report it."""

from uuid import UUID

import orjson

from libs.attempts.failure import Failure
from libs.attempts.finish import Finish, Report
from libs.attempts.model import Outcome
from libs.attempts.retry import GiveUp, Retry

_RESULT_IN_EVENT = 16 * 1024
"""The most bytes of a result that `command.completed` includes. Readers get larger results from the command."""


def succeeded(command_id: UUID, token: UUID, attempt: int, actor: str, result: bytes, seconds: float) -> Finish:
    """Return the finish of a success. `result` is a JSON object as text."""
    head = b'{"attempt":%d,"durationMs":%d,' % (attempt, round(seconds * 1000))
    if len(result) <= _RESULT_IN_EVENT:
        event = head + b'"result":' + result + b"}"
    else:
        event = head + b'"resultBytes":%d}' % len(result)
    return Finish(command_id, token, Outcome.SUCCEEDED, actor, event.decode(), result=result.decode())


def cancelled(command_id: UUID, token: UUID, attempt: int, actor: str) -> Finish:
    """Return the finish of an attempt that the runner cancelled."""
    event = orjson.dumps({"attempt": attempt}).decode()
    return Finish(command_id, token, Outcome.CANCELLED, actor, event, charged=False)


def acknowledged(command_id: UUID, token: UUID, attempt: int, actor: str) -> Report:
    """Return the report that the runner received a cancel and passed it on to the agent."""
    event = orjson.dumps({"attempt": attempt}).decode()
    return Report(command_id, token, "command.cancel_acknowledged", event, actor)


def ended_by(
    failure: Failure, decision: Retry | GiveUp, command_id: UUID, token: UUID, attempt: int, actor: str
) -> Finish:
    """Return the finish that carries out the decision after a failure."""
    error = {
        "code": failure.code.value,
        "message": failure.message,
        "retryable": failure.retryable,
        "details": dict(failure.details),
    }
    text = orjson.dumps(error).decode()
    event = orjson.dumps({"attempt": attempt, "error": error, "charged": failure.charged}).decode()
    if isinstance(decision, Retry):
        return Finish(
            command_id, token, Outcome.RETRYING if decision.charged else Outcome.RELEASED, actor, event,
            charged=decision.charged, error=text, delay_ms=decision.delay_ms,
        )  # fmt: skip
    note = orjson.dumps({"reason": decision.reason.value, "attempts": attempt}).decode()
    return Finish(
        command_id, token, Outcome.FAILED, actor, event, charged=failure.charged, error=text, reason=decision.reason,
        note=note,
    )  # fmt: skip
