"""The values of agents."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from libs.idempotency import KeyCode


class AgentCode(StrEnum):
    """The result of a change of an agent."""

    OK = "ok"
    EXISTS = "exists"
    MISSING = "missing"
    CONFLICT = "conflict"
    HAS_SESSION = "has_session"
    REUSED = KeyCode.REUSED.value
    IN_USE = KeyCode.IN_USE.value


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
