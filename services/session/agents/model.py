"""An agent: what sessions are started for."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class KeyCode(StrEnum):
    """What became of an idempotency key that a call wants to use."""

    TAKEN = "taken"
    REPLAY = "replay"
    REUSED = "reused"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class NewAgent:
    """An agent as a caller describes it."""

    agent_id: str
    display_name: str
    kind: str
    server: str
    exclusive: bool
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Agent(NewAgent):
    """An agent as it is stored."""

    version: int
    created_at: datetime
    updated_at: datetime
