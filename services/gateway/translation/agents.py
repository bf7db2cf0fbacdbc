"""Agents: JSON to messages and back."""

from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from callboard.agents.v1 import agents_pb2
from libs.errors import field_invalid
from services.gateway.models import agents as models
from services.gateway.translation.values import time_text

_UNREAD = agents_pb2.Connector(kind="echo")
_FIELDS = {
    "display_name": "display_name",
    "connector": "connector",
    "exclusive": "concurrent_sessions",
    "labels": "labels",
}


def create_request(body: models.NewAgent, request_id: str) -> agents_pb2.CreateAgentRequest:
    """Ask for a new agent."""
    agent = agents_pb2.Agent(
        agent_id=body.agent_id,
        display_name=body.display_name or "",
        connector=_connector(body.connector),
        concurrent_sessions=not body.exclusive,
        labels=body.labels or {},
    )
    return agents_pb2.CreateAgentRequest(agent=agent, request_id=request_id)


def update_request(
    agent_id: str, body: models.AgentChange, etag: str, request_id: str
) -> agents_pb2.UpdateAgentRequest:
    """Ask for a change of the fields that were given; refuses a body that gives none."""
    given = body.model_fields_set
    if not given:
        raise field_invalid("", "must give at least one of displayName, connector, exclusive, labels")
    # The contract requires a connector even where the mask does not name it, and then nobody reads it.
    agent = agents_pb2.Agent(agent_id=agent_id, etag=etag, connector=_UNREAD)
    if "display_name" in given:
        agent.display_name = body.display_name or ""
    if "connector" in given:
        agent.connector.CopyFrom(_connector(body.connector))
    if "exclusive" in given:
        agent.concurrent_sessions = not body.exclusive
    if "labels" in given:
        agent.labels.update(body.labels or {})
    mask = FieldMask(paths=[path for name, path in _FIELDS.items() if name in given])
    return agents_pb2.UpdateAgentRequest(agent=agent, update_mask=mask, request_id=request_id)


def agent_json(agent: agents_pb2.Agent) -> dict[str, Any]:
    """Write an agent."""
    return {
        "agentId": agent.agent_id,
        "displayName": agent.display_name or None,
        "connector": {"kind": agent.connector.kind, "server": agent.connector.server or None},
        "exclusive": not agent.concurrent_sessions,
        "labels": dict(agent.labels),
        "etag": agent.etag,
        "createdAt": time_text(agent, "created_at"),
        "updatedAt": time_text(agent, "updated_at"),
    }


def agents_json(response: agents_pb2.ListAgentsResponse) -> dict[str, Any]:
    """Write a page of agents."""
    return {
        "agents": [agent_json(agent) for agent in response.agents],
        "nextPageToken": response.next_page_token or None,
    }


def _connector(connector: models.Connector) -> agents_pb2.Connector:
    return agents_pb2.Connector(kind=connector.kind, server=connector.server or "")
