"""What connections need of storage."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class WantedConnection:
    """A session whose agent a runner is to connect."""

    tenant_id: str
    session_uid: UUID
    part: int
    session_id: str
    agent_id: str
    kind: str
    server: str
    attempts: int
