"""Dead letters: JSON to messages and back."""

from typing import Any

from callboard.commands.v1 import commands_pb2
from callboard.errors.v1 import errors_pb2
from libs.errors import field_invalid
from services.gateway.models import commands as models
from services.gateway.translation.commands import REASON_NUMBERS, command_json, error_json, reason_name
from services.gateway.translation.values import time_text


def list_request(query: models.DeadLetterQuery) -> commands_pb2.ListDeadLettersRequest:
    """Ask for a page of dead letters; refuses a reason that does not exist."""
    if query.reason is not None and query.reason not in REASON_NUMBERS:
        raise field_invalid("reason", "must be the name of a reason, such as TOOL_ERROR")
    return commands_pb2.ListDeadLettersRequest(
        page_size=query.page_size or 0,
        page_token=query.page_token or "",
        agent_id=query.agent_id or "",
        session_id=query.session_id or "",
        type=query.type or "",
        reason=errors_pb2.ErrorReason.ValueType(REASON_NUMBERS.get(query.reason or "", 0)),
    )


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


def _attempt_json(attempt: commands_pb2.Attempt) -> dict[str, Any]:
    return {
        "attempt": attempt.attempt,
        "runnerId": attempt.runner_id or None,
        "startedAt": time_text(attempt, "started_at"),
        "endedAt": time_text(attempt, "ended_at"),
        "charged": attempt.charged,
        "error": error_json(attempt.error) if attempt.HasField("error") else None,
    }
