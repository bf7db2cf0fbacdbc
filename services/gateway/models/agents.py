"""Agents."""

from typing import Literal

from pydantic import ConfigDict, Field

from services.gateway.models.shape import Body, Id, Labels, Shape, Time


class Connector(Body):
    """How an agent is reached."""

    kind: Literal["mcp", "echo"] = Field(description="The kind of executor; `echo` is for trials.")
    server: str | None = Field(
        default=None,
        pattern=r"^([a-z0-9][a-z0-9-]{0,62})?$",
        description="A server of the operator's catalogue; required for `mcp`.",
    )


class NewAgent(Body):
    """An agent to create."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"agentId": "clock", "displayName": "Clock", "connector": {"kind": "mcp", "server": "time"}}]
        }
    )

    agent_id: Id
    display_name: str | None = Field(default=None, max_length=200, description="A name for people.")
    connector: Connector
    exclusive: bool = Field(default=True, description="Whether at most one session of the agent may be live.")
    labels: Labels | None = None


class AgentChange(Body):
    """What to change of an agent: the fields that are given, at least one of them."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"displayName": "Clock tower"}], "minProperties": 1})

    display_name: str | None = Field(default=None, max_length=200)
    connector: Connector = Field(default=None)  # type: ignore[assignment]  # absent is told by `model_fields_set`
    exclusive: bool = Field(default=None)  # type: ignore[assignment]
    labels: Labels | None = None


class ConnectorShape(Shape):
    """How an agent is reached."""

    kind: str
    server: str | None


class Agent(Shape):
    """Something that sessions are started for and commands are sent to."""

    agent_id: str
    display_name: str | None
    connector: ConnectorShape
    exclusive: bool
    labels: dict[str, str]
    etag: str
    created_at: Time | None
    updated_at: Time | None


class AgentList(Shape):
    """A page of agents, ordered by id."""

    agents: list[Agent]
    next_page_token: str | None
