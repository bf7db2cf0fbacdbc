"""Commands: JSON to messages and back."""

from typing import Any

from callboard.commands.v1 import commands_pb2
from callboard.errors.v1 import errors_pb2
from services.gateway.models import commands as models
from services.gateway.translation.values import (
    duration,
    json_object,
    json_text,
    json_value,
    seconds,
    time_text,
    timestamp,
)

_STATES = {
    number: name.removeprefix("COMMAND_STATE_").lower() for name, number in commands_pb2.CommandState.items() if number
}
_STATE_NUMBERS = {name: number for number, name in _STATES.items()}
PRIORITIES = {
    "high": commands_pb2.COMMAND_PRIORITY_HIGH,
    "normal": commands_pb2.COMMAND_PRIORITY_NORMAL,
    "low": commands_pb2.COMMAND_PRIORITY_LOW,
}
_PRIORITY_NAMES = {number: name for name, number in PRIORITIES.items()}
_MODES = {
    "graceful": commands_pb2.CANCEL_MODE_GRACEFUL,
    "immediate": commands_pb2.CANCEL_MODE_IMMEDIATE,
    "kill": commands_pb2.CANCEL_MODE_KILL,
}
_REASONS = {number: name.removeprefix("ERROR_REASON_") for name, number in errors_pb2.ErrorReason.items() if number}
REASON_NUMBERS = {name: number for number, name in _REASONS.items()}


def submit_request(
    body: models.NewCommand, request_id: str, *, agent_id: str = "", session_id: str = ""
) -> commands_pb2.SubmitCommandRequest:
    """Ask for a command to be run, in an agent's live session or in one by its id."""
    command = commands_pb2.CommandSpec(
        type=body.type,
        params_json=json_text(body.params),
        correlation_id=body.correlation_id or "",
        options=_options(body),
        request_id=request_id,
    )
    if agent_id:
        command.agent_id = agent_id
    else:
        command.session_id = session_id
    return commands_pb2.SubmitCommandRequest(command=command)


def list_request(
    query: models.SessionCommandQuery, *, agent_id: str | None, session_id: str | None
) -> commands_pb2.ListCommandsRequest:
    """Ask for a page of commands."""
    return commands_pb2.ListCommandsRequest(
        page_size=query.page_size or 0,
        page_token=query.page_token or "",
        session_id=session_id or "",
        agent_id=agent_id or "",
        states=[commands_pb2.CommandState.ValueType(_STATE_NUMBERS[state]) for state in query.state or ()],
        type=query.type or "",
        correlation_id=query.correlation_id or "",
    )


def cancel_request(
    body: models.Cancel, request_id: str, *, command_id: str = "", submit_key: str = ""
) -> commands_pb2.CancelCommandRequest:
    """Ask for a command to be cancelled, by its id or by the key of its submit."""
    return commands_pb2.CancelCommandRequest(
        command_id=command_id,
        submit_request_id=submit_key,
        mode=_MODES.get(body.mode or "", commands_pb2.CANCEL_MODE_UNSPECIFIED),
        grace=duration(body.grace),
        reason=body.reason or "",
        request_id=request_id,
    )


def cancel_many_request(body: models.CancelMany, request_id: str) -> commands_pb2.CancelCommandsRequest:
    """Ask for all commands that match to be cancelled."""
    wanted = body.filter
    return commands_pb2.CancelCommandsRequest(
        filter=commands_pb2.OpenCommandFilter(
            agent_id=wanted.agent_id or "",
            session_id=wanted.session_id or "",
            states=[commands_pb2.CommandState.ValueType(_STATE_NUMBERS[state]) for state in wanted.states or ()],
            type=wanted.type or "",
            correlation_id=wanted.correlation_id or "",
            enqueued_after=timestamp(wanted.enqueued_after),
            enqueued_before=timestamp(wanted.enqueued_before),
        ),
        limit=body.limit or 0,
        mode=_MODES.get(body.mode or "", commands_pb2.CANCEL_MODE_UNSPECIFIED),
        grace=duration(body.grace),
        reason=body.reason or "",
        dry_run=body.dry_run,
        request_id=request_id,
    )


def cancelled_many_json(response: commands_pb2.CancelCommandsResponse, *, dry_run: bool) -> dict[str, Any]:
    """Say what was cancelled."""
    return {
        "cancelled": response.cancelled,
        "requested": response.requested,
        "more": response.more,
        "dryRun": dry_run,
    }


def accepted_json(command: commands_pb2.AcceptedCommand) -> dict[str, Any]:
    """Say which command was accepted."""
    return {
        "jobId": command.command_id,
        "commandId": command.command_id,
        "correlationId": command.correlation_id,
    }


def command_json(command: commands_pb2.Command) -> dict[str, Any]:
    """Write a command."""
    options = command.options
    return {
        "jobId": command.command_id,
        "commandId": command.command_id,
        "correlationId": command.correlation_id,
        "agentId": command.agent_id,
        "sessionId": command.session_id,
        "type": command.type,
        "params": json_object(command.params_json),
        "state": _STATES[command.state],
        "attempt": command.attempt,
        "maxAttempts": options.max_attempts,
        "progress": _progress_json(command.progress) if command.HasField("progress") else None,
        "result": json_value(command.result_json),
        "error": error_json(command.error) if command.HasField("error") else None,
        "requestedBy": command.requested_by or None,
        "enqueuedAt": time_text(command, "enqueued_at"),
        "startedAt": time_text(command, "started_at"),
        "finishedAt": time_text(command, "finished_at"),
        "chargedAttempts": command.charged_attempts,
        "nextAttemptAt": time_text(command, "next_attempt_at"),
        "cancelRequestedAt": time_text(command, "cancel_requested_at"),
        "requeuedFrom": command.requeued_from or None,
        "timeout": seconds(options, "timeout"),
        "backoff": seconds(options, "backoff"),
        "maxBackoff": seconds(options, "max_backoff"),
        "priority": _PRIORITY_NAMES.get(options.priority, "normal"),
        "notBefore": time_text(options, "not_before"),
        "retryToolErrors": options.retry_tool_errors,
        "orderingKey": options.ordering_key or None,
        "retention": seconds(options, "retention"),
    }


def commands_json(response: commands_pb2.ListCommandsResponse) -> dict[str, Any]:
    """Write a page of commands."""
    return {
        "commands": [command_json(command) for command in response.commands],
        "nextPageToken": response.next_page_token or None,
    }


def reason_name(number: int) -> str:
    """Return a reason's name; one of a later version of the contract is told by its number."""
    return _REASONS.get(errors_pb2.ErrorReason.ValueType(number)) or f"REASON_{number}"


def _options(body: models.NewCommand) -> commands_pb2.CommandOptions:
    return commands_pb2.CommandOptions(
        max_attempts=body.max_attempts or body.attempts or 0,
        timeout=duration(body.timeout),
        backoff=duration(body.backoff),
        max_backoff=duration(body.max_backoff),
        priority=PRIORITIES.get(body.priority or "", commands_pb2.COMMAND_PRIORITY_UNSPECIFIED),
        not_before=timestamp(body.not_before),
        retry_tool_errors=bool(body.retry_tool_errors),
        ordering_key=body.ordering_key or "",
        retention=duration(body.retention),
    )


def _progress_json(progress: commands_pb2.CommandProgress) -> dict[str, Any]:
    return {"progress": progress.progress, "total": progress.total or None, "message": progress.message or None}


def error_json(error: commands_pb2.CommandError) -> dict[str, Any]:
    """Write why an attempt failed."""
    return {
        "code": reason_name(error.code),
        "message": error.message,
        "retryable": error.retryable,
        "details": json_value(error.details_json),
    }
