"""Between the contract's messages and the domain's values."""

import re
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from callboard.agents.v1 import agents_pb2
from callboard.events.v1 import events_pb2
from callboard.sessions.v1 import sessions_pb2
from libs.errors import field_invalid
from libs.jsontext import check_object
from libs.rpc import current_caller
from services.session.domain.agent import Agent, NewAgent
from services.session.domain.event import Event
from services.session.domain.session import Actor, Session, SessionSpec

_TYPES = {
    number: name.removeprefix("SESSION_TYPE_").lower() for name, number in sessions_pb2.SessionType.items() if number
}
_TYPE_NUMBERS = {name: number for number, name in _TYPES.items()}
STATES = {
    number: name.removeprefix("SESSION_STATE_").lower() for name, number in sessions_pb2.SessionState.items() if number
}
_STATE_NUMBERS = {name: number for number, name in STATES.items()}
_ETAG = re.compile(r"[1-9][0-9]{0,17}")


def actor() -> Actor:
    """Return who is calling."""
    caller = current_caller()
    return Actor(caller.tenant_id, caller.principal, caller.address)


def timestamp(time: datetime | None) -> Timestamp | None:
    """Write a time as a Timestamp."""
    if time is None:
        return None
    message = Timestamp()
    message.FromDatetime(time)
    return message


def moment(message: Timestamp) -> datetime:
    """Read a Timestamp."""
    return message.ToDatetime(tzinfo=UTC)


def spec_of(message: sessions_pb2.SessionSpec, path: str) -> SessionSpec:
    """Read what a caller says of a session."""
    return SessionSpec(
        session_id=message.session_id,
        session_type=_TYPES.get(message.session_type, "custom"),
        mode=message.mode,
        title=message.title,
        task=message.task,
        task_id=message.task_id,
        workspace=message.workspace,
        user_id=message.user_id,
        channel_id=message.channel_id,
        resource_id=message.resource_id,
        labels=dict(message.labels),
        context=check_object(message.context_json, f"{path}.context_json"),
        metadata=check_object(message.metadata_json, f"{path}.metadata_json"),
    )


def session_type(number: sessions_pb2.SessionType.ValueType) -> str:
    """Read a session type, empty when none is given."""
    return _TYPES.get(number, "")


def session_message(session: Session) -> sessions_pb2.Session:
    """Write a session."""
    error = None
    if session.error:
        error = sessions_pb2.SessionError(code=session.error.get("code", ""), message=session.error.get("message", ""))
    return sessions_pb2.Session(
        session_id=session.session_id,
        agent_id=session.agent_id,
        state=sessions_pb2.SessionState.ValueType(_STATE_NUMBERS[session.state]),
        spec=sessions_pb2.SessionSpec(
            session_id=session.session_id,
            session_type=sessions_pb2.SessionType.ValueType(_TYPE_NUMBERS[session.session_type]),
            mode=session.mode,
            title=session.title,
            task=session.task,
            task_id=session.task_id,
            workspace=session.workspace,
            user_id=session.user_id,
            channel_id=session.channel_id,
            resource_id=session.resource_id,
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


def agent_of(message: agents_pb2.Agent) -> NewAgent:
    """Read an agent as a caller describes it."""
    if not message.agent_id:
        raise field_invalid("agent.agent_id", "is required")
    return NewAgent(
        agent_id=message.agent_id,
        display_name=message.display_name,
        kind=message.connector.kind,
        server=message.connector.server,
        concurrent=message.concurrent_sessions,
        labels=dict(message.labels),
    )


def agent_message(agent: Agent) -> agents_pb2.Agent:
    """Write an agent."""
    return agents_pb2.Agent(
        agent_id=agent.agent_id,
        display_name=agent.display_name,
        connector=agents_pb2.Connector(kind=agent.kind, server=agent.server),
        concurrent_sessions=agent.concurrent,
        labels=agent.labels,
        etag=str(agent.version),
        created_at=timestamp(agent.created_at),
        updated_at=timestamp(agent.updated_at),
    )


def version_of(etag: str) -> int | None:
    """Read an etag, None when it is empty; one that was never given out is 0, which no resource has."""
    if not etag:
        return None
    return int(etag) if _ETAG.fullmatch(etag) else 0


def event_message(event: Event) -> events_pb2.Event:
    """Write an event."""
    return events_pb2.Event(
        event_id=event.event_id,
        seq=event.seq,
        type=event.type,
        level=events_pb2.EventLevel.ValueType(event.level),
        session_id=event.session_id,
        agent_id=event.agent_id,
        command_id=event.command_id,
        correlation_id=event.correlation_id,
        actor=event.actor,
        address=event.address,
        payload_json=event.payload,
        created_at=Timestamp(seconds=event.micros // 1_000_000, nanos=event.micros % 1_000_000 * 1000),
    )
