"""Sessions: JSON to messages and back."""

from typing import Any

from callboard.sessions.v1 import sessions_pb2
from libs.errors import field_invalid
from services.gateway.models import sessions as models
from services.gateway.translation.values import json_object, json_text, json_value, time_text, timestamp

# The states that the REST API spells in its own way; all others are the enum's own words.
_OWN_SPELLING = {"created": "init", "active": "running", "timed_out": "timeout"}
_STATES = {
    number: _OWN_SPELLING.get(word, word)
    for name, number in sessions_pb2.SessionState.items()
    if number and (word := name.removeprefix("SESSION_STATE_").lower())
}
_STATE_NUMBERS = {name: number for number, name in _STATES.items()}
_TYPES = {
    number: name.removeprefix("SESSION_TYPE_").lower() for name, number in sessions_pb2.SessionType.items() if number
}
_TYPE_NUMBERS = {name: number for number, name in _TYPES.items()}
_CONFLICTS = {
    "returnExisting": sessions_pb2.ON_CONFLICT_RETURN_EXISTING,
    "fail": sessions_pb2.ON_CONFLICT_FAIL,
    "restart": sessions_pb2.ON_CONFLICT_RESTART,
}
_TEXTS = ("session_id", "mode", "title", "task", "task_id", "workspace", "user_id", "channel_id", "resource_id")
_SPEC_FIELDS = frozenset(models.SessionFields.model_fields)


def start_request(agent_id: str, body: models.Start, request_id: str) -> sessions_pb2.StartSessionRequest:
    """Ask for a session to be started."""
    conflict = "restart" if body.restart else body.on_conflict
    return sessions_pb2.StartSessionRequest(
        agent_id=agent_id,
        spec=_spec(body),
        on_conflict=_CONFLICTS.get(conflict or "", sessions_pb2.ON_CONFLICT_UNSPECIFIED),
        request_id=request_id,
    )


def restart_request(agent_id: str, body: models.Restart, request_id: str) -> sessions_pb2.RestartSessionRequest:
    """Ask for a restart; without a word on the next session it is as the one before it."""
    return sessions_pb2.RestartSessionRequest(
        agent_id=agent_id,
        spec=_spec(body) if body.model_fields_set & _SPEC_FIELDS else None,
        reason=body.reason or "",
        request_id=request_id,
    )


def list_request(query: models.SessionQuery) -> sessions_pb2.ListSessionsRequest:
    """Ask for a page of sessions."""
    return sessions_pb2.ListSessionsRequest(
        page_size=query.page_size or 0,
        page_token=query.page_token or "",
        agent_id=query.agent_id or "",
        states=[sessions_pb2.SessionState.ValueType(_STATE_NUMBERS[state]) for state in query.state or ()],
        session_type=_type_number(query.session_type),
        mode=query.mode or "",
        user_id=query.user_id or "",
        channel_id=query.channel_id or "",
        resource_id=query.resource_id or "",
        task_id=query.task_id or "",
        labels=_labels(query.label or []),
        created_after=timestamp(query.created_after),
        created_before=timestamp(query.created_before),
    )


def session_json(session: sessions_pb2.Session) -> dict[str, Any]:
    """Write a session."""
    spec = session.spec
    error = {"code": session.error.code, "message": session.error.message} if session.HasField("error") else None
    return {
        "sessionId": session.session_id,
        "agentId": session.agent_id,
        "sessionType": _TYPES.get(spec.session_type, "custom"),
        "state": _STATES[session.state],
        "mode": spec.mode or None,
        "title": spec.title or None,
        "task": spec.task or None,
        "taskId": spec.task_id or None,
        "workspace": spec.workspace or None,
        "userId": spec.user_id or None,
        "channelId": spec.channel_id or None,
        "resourceId": spec.resource_id or None,
        "labels": dict(spec.labels),
        "context": json_object(spec.context_json),
        "metadata": json_object(spec.metadata_json),
        "restartCount": session.restart_count,
        "restartedFrom": session.restarted_from or None,
        "lastSeq": session.last_seq,
        "result": json_value(session.result_json),
        "error": error,
        "createdBy": session.created_by or None,
        "etag": session.etag,
        "createdAt": time_text(session, "created_at"),
        "updatedAt": time_text(session, "updated_at"),
        "startedAt": time_text(session, "started_at"),
        "endedAt": time_text(session, "ended_at"),
    }


def sessions_json(response: sessions_pb2.ListSessionsResponse) -> dict[str, Any]:
    """Write a page of sessions."""
    return {
        "count": len(response.sessions),
        "sessions": [session_json(session) for session in response.sessions],
        "nextPageToken": response.next_page_token or None,
    }


def started_json(session: sessions_pb2.Session) -> dict[str, Any]:
    """Say which session is live now."""
    return {"sessionId": session.session_id, "status": "active", "session": session_json(session)}


def restarted_json(response: sessions_pb2.RestartSessionResponse) -> dict[str, Any]:
    """Say which session is live now, and which one it succeeded."""
    previous = session_json(response.previous) if response.HasField("previous") else None
    return {**started_json(response.session), "previous": previous}


def stopped_json(response: sessions_pb2.StopSessionResponse) -> dict[str, Any]:
    """Say which session was stopped, if there was one."""
    session = session_json(response.session) if response.HasField("session") else None
    return {"sessionId": session and session["sessionId"], "status": "stopped", "session": session}


def _spec(body: models.SessionFields) -> sessions_pb2.SessionSpec:
    texts = {name: value for name in _TEXTS if (value := getattr(body, name))}
    return sessions_pb2.SessionSpec(
        **texts,
        session_type=_type_number(body.session_type),
        labels=body.labels or {},
        context_json=json_text(body.context),
        metadata_json=json_text(body.metadata),
    )


def _type_number(name: str | None) -> sessions_pb2.SessionType.ValueType:
    return sessions_pb2.SessionType.ValueType(_TYPE_NUMBERS[name] if name else 0)


def _labels(pairs: list[str]) -> dict[str, str]:
    labels = {}
    for pair in pairs:
        name, colon, value = pair.partition(":")
        if not colon or not name:
            raise field_invalid("label", "must be name:value")
        labels[name] = value
    return labels
