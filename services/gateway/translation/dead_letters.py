"""Dead letters: JSON to messages and back."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from callboard.commands.v1 import commands_pb2
from callboard.errors.v1 import errors_pb2
from libs.errors import field_invalid
from services.gateway.models import dead_letters as models
from services.gateway.translation.commands import PRIORITIES, REASON_NUMBERS, command_json, error_json, reason_name
from services.gateway.translation.fields import metadata_in_rest_words
from services.gateway.translation.strict_json import write_json
from services.gateway.translation.values import duration, seconds, time_text, timestamp

_REQUEUED = {
    None: commands_pb2.REQUEUED_FILTER_UNSPECIFIED,
    "true": commands_pb2.REQUEUED_FILTER_REQUEUED,
    True: commands_pb2.REQUEUED_FILTER_REQUEUED,
    "false": commands_pb2.REQUEUED_FILTER_NOT_REQUEUED,
    False: commands_pb2.REQUEUED_FILTER_NOT_REQUEUED,
    "any": commands_pb2.REQUEUED_FILTER_ANY,
}
_OUTCOMES = {
    number: name.removeprefix("ATTEMPT_OUTCOME_").lower()
    for name, number in commands_pb2.AttemptOutcome.items()
    if number
}
_Refusal: TypeAlias = commands_pb2.BulkSubmitRefusal


def list_request(query: models.DeadLetterQuery) -> commands_pb2.ListDeadLettersRequest:
    """Ask for a page of dead letters; refuses a reason that does not exist."""
    return commands_pb2.ListDeadLettersRequest(
        page_size=query.page_size or 0,
        page_token=query.page_token or "",
        agent_id=query.agent_id or "",
        session_id=query.session_id or "",
        type=query.type or "",
        reasons=_reasons(query.reason, "reason"),
        dead_after=timestamp(query.dead_after),
        dead_before=timestamp(query.dead_before),
        requeued=_REQUEUED[query.requeued],
        correlation_id=query.correlation_id or "",
    )


def requeue_request(
    command_id: str, body: models.Requeue, request_id: str
) -> commands_pb2.RequeueDeadLetterRequest:  # fmt: skip
    """Ask for a dead letter to be submitted again; empty parameters are not the same as none."""
    return commands_pb2.RequeueDeadLetterRequest(
        command_id=command_id,
        request_id=request_id,
        params_json=None if body.params is None else write_json(body.params),
        options=_options(body),
    )


def requeue_many_request(body: models.RequeueMany, request_id: str) -> commands_pb2.RequeueDeadLettersRequest:
    """Ask for many dead letters to be submitted again."""
    return commands_pb2.RequeueDeadLettersRequest(
        command_ids=body.ids or (),
        filter=_filter(body.filter),
        limit=body.limit or 0,
        page_token=body.page_token or "",
        options=_options(body),
        dry_run=body.dry_run,
        request_id=request_id,
    )


def purge_many_request(body: models.PurgeMany, request_id: str) -> commands_pb2.PurgeDeadLettersRequest:
    """Ask for many dead letters to be removed."""
    return commands_pb2.PurgeDeadLettersRequest(
        command_ids=body.ids or (),
        filter=_filter(body.filter),
        limit=body.limit or 0,
        dry_run=body.dry_run,
        request_id=request_id,
    )


def requeued_json(response: commands_pb2.RequeueDeadLettersResponse, body: models.RequeueMany) -> dict[str, Any]:
    """Write what became of many dead letters."""
    return {
        "results": [
            {
                "id": one.command_id,
                "jobId": one.command.command_id or None,
                "correlationId": one.command.correlation_id or None,
                "refusal": _refusal_json(one.refusal) if one.HasField("refusal") else None,
            }
            for one in response.results
        ],
        "requeued": response.requeued,
        "refused": response.refused,
        "more": response.more,
        "nextPageToken": response.next_page_token or None,
        "dryRun": body.dry_run,
        "matched": response.matched if body.dry_run and body.filter is not None else None,
    }


def purged_json(response: commands_pb2.PurgeDeadLettersResponse, body: models.PurgeMany) -> dict[str, Any]:
    """Write what became of many dead letters."""
    return {
        "results": [
            {"id": one.command_id, "refusal": _refusal_json(one.refusal) if one.HasField("refusal") else None}
            for one in response.results
        ],
        "purged": response.purged,
        "refused": response.refused,
        "more": response.more,
        "dryRun": body.dry_run,
        "matched": response.matched if body.dry_run and body.filter is not None else None,
    }


def dead_letter_json(letter: commands_pb2.DeadLetter) -> dict[str, Any]:
    """Write a dead letter, without its attempts."""
    return {
        "id": letter.command.command_id,
        "reason": reason_name(letter.reason),
        "deadAt": time_text(letter, "dead_at"),
        "requeuedAs": letter.requeued_as or None,
        "command": command_json(letter.command),
    }


def dead_letter_in_full(letter: commands_pb2.DeadLetter) -> dict[str, Any]:
    """Write a dead letter with its attempts."""
    return {**dead_letter_json(letter), "attempts": [_attempt_json(attempt) for attempt in letter.attempts]}


def dead_letters_json(response: commands_pb2.ListDeadLettersResponse) -> dict[str, Any]:
    """Write a page of dead letters."""
    return {
        "deadLetters": [dead_letter_json(letter) for letter in response.dead_letters],
        "nextPageToken": response.next_page_token or None,
    }


def _filter(given: models.DeadLetterSelection | None) -> commands_pb2.DeadLetterFilter | None:
    if given is None:
        return None
    return commands_pb2.DeadLetterFilter(
        agent_id=given.agent_id or "",
        session_id=given.session_id or "",
        type=given.type or "",
        reasons=_reasons(given.reasons, "filter.reasons"),
        dead_after=timestamp(given.dead_after),
        dead_before=timestamp(given.dead_before),
        requeued=_REQUEUED[given.requeued],
        correlation_id=given.correlation_id or "",
    )


def _reasons(names: Sequence[str] | None, field: str) -> list[errors_pb2.ErrorReason.ValueType]:
    if any(name not in REASON_NUMBERS for name in names or ()):
        raise field_invalid(field, "must be the names of reasons, such as TOOL_ERROR")
    return [errors_pb2.ErrorReason.ValueType(REASON_NUMBERS[name]) for name in dict.fromkeys(names or ())]


def _options(body: models.RequeueOptions) -> commands_pb2.RequeueOptions:
    return commands_pb2.RequeueOptions(
        max_attempts=body.max_attempts or 0,
        timeout=duration(body.timeout),
        priority=PRIORITIES[body.priority] if body.priority else commands_pb2.COMMAND_PRIORITY_UNSPECIFIED,
        not_before=timestamp(body.not_before),
        session_id=body.session_id or "",
    )


def _refusal_json(error: _Refusal) -> dict[str, Any]:
    return {
        "reason": reason_name(error.reason),
        "message": error.message,
        "metadata": metadata_in_rest_words(error.metadata),
    }


def _attempt_json(attempt: commands_pb2.Attempt) -> dict[str, Any]:
    return {
        "attempt": attempt.attempt,
        "outcome": _OUTCOMES.get(attempt.outcome),
        "runnerId": attempt.runner_id or None,
        "startedAt": time_text(attempt, "started_at"),
        "endedAt": time_text(attempt, "ended_at"),
        "duration": seconds(attempt, "duration"),
        "charged": attempt.charged,
        "error": error_json(attempt.error) if attempt.HasField("error") else None,
    }
