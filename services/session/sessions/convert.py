"""Converts between the contract's messages and the values of sessions."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from callboard.sessions.v1 import sessions_pb2
from libs.jsontext import check_object
from libs.rpc import shared_scalars, timestamp
from services.session.sessions.model import Session, SessionFilter, SessionSpec, SessionState

_TYPES = {
    number: name.removeprefix("SESSION_TYPE_").lower() for name, number in sessions_pb2.SessionType.items() if number
}
_TYPE_NUMBERS = {name: number for number, name in _TYPES.items()}
STATES = {
    number: SessionState(name.removeprefix("SESSION_STATE_").lower())
    for name, number in sessions_pb2.SessionState.items()
    if number
}
_STATE_NUMBERS = {name: number for number, name in STATES.items()}
_SPEC_SCALARS = shared_scalars(sessions_pb2.SessionSpec, SessionSpec)
_FILTER_SCALARS = shared_scalars(sessions_pb2.ListSessionsRequest, SessionFilter)


def moment(message: Timestamp) -> datetime:
    """Convert a Timestamp."""
    return message.ToDatetime(tzinfo=UTC)


def spec_of(message: sessions_pb2.SessionSpec, path: str) -> SessionSpec:
    """Convert the spec of a session from a request."""
    return SessionSpec(
        **{name: getattr(message, name) for name in _SPEC_SCALARS},
        session_type=_TYPES.get(message.session_type, "custom"),
        labels=dict(message.labels),
        context=check_object(message.context_json, f"{path}.context_json"),
        metadata=check_object(message.metadata_json, f"{path}.metadata_json"),
    )


def session_type(number: sessions_pb2.SessionType.ValueType) -> str:
    """Return the name of a session type, empty when none is given."""
    return _TYPES.get(number, "")


def session_message(session: Session) -> sessions_pb2.Session:
    """Convert a session to its message."""
    error = None
    if session.error:
        error = sessions_pb2.SessionError(code=session.error.get("code", ""), message=session.error.get("message", ""))
    return sessions_pb2.Session(
        session_id=session.session_id,
        agent_id=session.agent_id,
        state=sessions_pb2.SessionState.ValueType(_STATE_NUMBERS[session.state]),
        spec=sessions_pb2.SessionSpec(
            **{name: getattr(session, name) for name in _SPEC_SCALARS},
            session_type=sessions_pb2.SessionType.ValueType(_TYPE_NUMBERS[session.session_type]),
            labels=session.labels,
            context_json=session.context,
            metadata_json=session.metadata,
        ),
        restart_count=session.restart_count,
        restarted_from=session.restarted_from,
        last_seq=session.last_seq,
        result_json=session.result or "",
        error=error,
        created_by=session.created_by,
        etag=str(session.version),
        created_at=timestamp(session.created_at),
        updated_at=timestamp(session.updated_at),
        started_at=timestamp(session.started_at),
        ended_at=timestamp(session.ended_at),
    )


def filter_of(request: sessions_pb2.ListSessionsRequest) -> SessionFilter:
    """Read which sessions a caller wants listed."""
    return SessionFilter(
        **{name: getattr(request, name) for name in _FILTER_SCALARS},
        states=tuple(STATES[state] for state in request.states),
        session_type=session_type(request.session_type),
        labels=dict(request.labels),
        created_after=moment(request.created_after) if request.HasField("created_after") else None,
        created_before=moment(request.created_before) if request.HasField("created_before") else None,
    )
