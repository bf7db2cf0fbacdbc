"""Converts between the contract's messages and the values of dead letters."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TypeAlias

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from callboard.commands.v1 import commands_pb2
from libs.calls import list_scope, read_page_token, write_page_token
from libs.errors import ServiceError, field_invalid
from libs.jsontext import check_object
from libs.rpc import timestamp
from services.command.commands.convert import (
    PRIORITIES,
    accepted,
    command_message,
    error_message,
    not_before_of,
    reason_name,
    reason_number,
    rejection,
)
from services.command.dead_letters.batch_answers import Requeued
from services.command.dead_letters.model import (
    DEFAULT_LIMIT,
    Attempt,
    Changes,
    DeadLetter,
    DeadLetterFilter,
    Plan,
    Selection,
)

_OUTCOMES = {
    name.removeprefix("ATTEMPT_OUTCOME_").lower(): number for name, number in commands_pb2.AttemptOutcome.items()
}
_REQUEUED = {
    commands_pb2.REQUEUED_FILTER_REQUEUED: True,
    commands_pb2.REQUEUED_FILTER_NOT_REQUEUED: False,
    commands_pb2.REQUEUED_FILTER_ANY: None,
}
_REQUEUE_KEYSET = frozenset({"at", "id", "until"})
_Many: TypeAlias = commands_pb2.RequeueDeadLettersRequest | commands_pb2.PurgeDeadLettersRequest


def listed_filter(request: commands_pb2.ListDeadLettersRequest) -> DeadLetterFilter:
    """Convert the filter of a list. By default it includes requeued dead letters."""
    reasons = {*request.reasons, *([request.reason] if request.reason else ())}
    return _filter(request, sorted(reasons), unspecified=None, path="")


def _filter(
    given: commands_pb2.ListDeadLettersRequest | commands_pb2.DeadLetterFilter,
    reasons: Sequence[int],
    *,
    unspecified: bool | None,
    path: str,
) -> DeadLetterFilter:
    after, before = _time(given, "dead_after"), _time(given, "dead_before")
    if after is not None and before is not None and after >= before:
        raise field_invalid(f"{path}dead_before", "must be later than dead_after")
    return DeadLetterFilter(
        agent_id=given.agent_id,
        session_id=given.session_id,
        type=given.type,
        reasons=tuple(reason_name(reason) for reason in reasons),  # type: ignore[arg-type]
        dead_after=after,
        dead_before=before,
        requeued=_REQUEUED.get(given.requeued, unspecified),
        correlation_id=given.correlation_id,
    )


def requeue_selection(request: commands_pb2.RequeueDeadLettersRequest) -> Selection:
    """Convert the selection of a requeue. Raises ServiceError when its filter asks for requeued dead letters."""
    if request.filter.requeued in (commands_pb2.REQUEUED_FILTER_REQUEUED, commands_pb2.REQUEUED_FILTER_ANY):
        raise field_invalid("filter.requeued", "must not ask for those that were requeued: none is requeued twice")
    if not request.HasField("filter") and request.page_token:
        raise field_invalid("page_token", "goes with a filter")
    return _selection(request, request.page_token)


def purge_selection(request: commands_pb2.PurgeDeadLettersRequest) -> Selection:
    """Convert the selection of a purge. A filter excludes requeued dead letters unless it asks for them."""
    return _selection(request, "")


def _selection(request: _Many, page_token: str) -> Selection:
    if not request.HasField("filter"):
        if request.limit:
            raise field_invalid("limit", "goes with a filter")
        return Selection(ids=tuple(request.command_ids))
    matching = _filter(request.filter, sorted(request.filter.reasons), unspecified=False, path="filter.")
    keyset = read_page_token(_scope(matching), page_token, keys=_REQUEUE_KEYSET)
    return Selection(matching=matching, limit=request.limit or DEFAULT_LIMIT, keyset=keyset)


def token_after(plan: Plan, wanted: Selection) -> str:
    """Return the page token that continues after a plan, empty when no more match."""
    return write_page_token(_scope(wanted.matching), plan.keyset) if plan.keyset else ""


def _scope(matching: DeadLetterFilter | None) -> str:
    return list_scope("dead_letters.requeue", asdict(matching) if matching else {})


def changes_of(options: commands_pb2.RequeueOptions, params_json: str | None = None) -> Changes:
    """Convert the changes that a requeue makes to the command."""
    return Changes(
        params=None if params_json is None else check_object(params_json, "params_json"),
        max_attempts=options.max_attempts or None,
        timeout_ms=options.timeout.ToMilliseconds() if options.HasField("timeout") else None,
        priority=PRIORITIES[options.priority] if options.priority else None,
        not_before=not_before_of(options, "options"),
        session_id=options.session_id or None,
    )


def requeue_results(results: Sequence[Requeued]) -> list[commands_pb2.RequeueResult]:
    """Convert the results of a requeue."""
    return [
        commands_pb2.RequeueResult(
            command_id=one.given,
            command=accepted(one.command) if one.command else None,
            refusal=rejection(one.error) if one.error else None,
        )
        for one in results
    ]


def purge_result(command_id: str, error: ServiceError | None) -> commands_pb2.PurgeResult:
    """Convert the result of a purge of one dead letter."""
    return commands_pb2.PurgeResult(command_id=command_id, refusal=rejection(error) if error else None)


def dead_letter_message(dead_letter: DeadLetter, attempts: Sequence[Attempt]) -> commands_pb2.DeadLetter:
    """Convert a dead letter to its message."""
    return commands_pb2.DeadLetter(
        command=command_message(dead_letter.command),
        reason=reason_number(dead_letter.reason),
        dead_at=timestamp(dead_letter.dead_at),
        requeued_as=str(dead_letter.requeued_as or ""),
        attempts=[_attempt(attempt) for attempt in attempts],
    )


def _attempt(attempt: Attempt) -> commands_pb2.Attempt:
    took = Duration()
    took.FromTimedelta(attempt.ended_at - attempt.started_at)
    return commands_pb2.Attempt(
        attempt=attempt.attempt,
        runner_id=str(attempt.runner_id or ""),
        started_at=timestamp(attempt.started_at),
        ended_at=timestamp(attempt.ended_at),
        charged=attempt.charged,
        error=error_message(attempt.error),
        outcome=commands_pb2.AttemptOutcome.ValueType(_OUTCOMES[attempt.outcome]),
        duration=took,
    )


def _time(message: Message, field: str) -> datetime | None:
    if not message.HasField(field):
        return None
    time: datetime = getattr(message, field).ToDatetime(tzinfo=UTC)
    return time
