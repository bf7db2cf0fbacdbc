"""Convert between the messages of agents and their values."""

import re

from callboard.agents.v1 import agents_pb2
from libs.errors import field_invalid
from libs.rpc import timestamp
from services.session.agents.model import Agent, NewAgent

_ETAG = re.compile(r"[1-9][0-9]{0,17}")


def agent_of(message: agents_pb2.Agent) -> NewAgent:
    """Read an agent as a caller describes it."""
    if not message.agent_id:
        raise field_invalid("agent.agent_id", "is required")
    return NewAgent(
        agent_id=message.agent_id,
        display_name=message.display_name,
        kind=message.connector.kind,
        server=message.connector.server,
        exclusive=message.exclusive if message.HasField("exclusive") else True,
        labels=dict(message.labels),
    )


def agent_message(agent: Agent) -> agents_pb2.Agent:
    """Write an agent."""
    return agents_pb2.Agent(
        agent_id=agent.agent_id,
        display_name=agent.display_name,
        connector=agents_pb2.Connector(kind=agent.kind, server=agent.server),
        exclusive=agent.exclusive,
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
