"""The values of agents."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class NewAgent:
    """The fields of an agent that a caller sets."""

    agent_id: str
    display_name: str
    kind: str
    server: str
    exclusive: bool
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Agent(NewAgent):
    """A stored agent."""

    version: int
    created_at: datetime
    updated_at: datetime
