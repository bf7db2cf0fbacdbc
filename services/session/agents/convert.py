"""Converts between the contract's messages and the values of agents."""

import re

from callboard.agents.v1 import agents_pb2
from libs.rpc import timestamp
from services.session.agents.model import Agent, NewAgent

_ETAG = re.compile(r"[1-9][0-9]{0,17}")


def agent_of(message: agents_pb2.Agent) -> NewAgent:
    """Convert an agent from a request."""
    return NewAgent(
        agent_id=message.agent_id,
        display_name=message.display_name,
        kind=message.connector.kind,
        server=message.connector.server,
        exclusive=message.exclusive if message.HasField("exclusive") else True,
        labels=dict(message.labels),
    )


def agent_message(agent: Agent) -> agents_pb2.Agent:
    """Convert a stored agent to its message."""
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
    """Return the version that an etag names, None when it is empty, and 0, which no agent has, when it is invalid."""
    if not etag:
        return None
    return int(etag) if _ETAG.fullmatch(etag) else 0
