"""What connections need of storage."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class WantedConnection:
    """A session whose agent a runner is to connect."""

    tenant_id: str
    session_uid: UUID
    partition: int
    session_id: str
    agent_id: str
    kind: str
    server: str
    attempts: int


class ConnectionStore(Protocol):
    """Which runner holds the connection of which session."""

    async def wanted(self, runner_id: UUID, limit: int) -> list[WantedConnection]:
        """Take sessions that want a connection."""

    async def connected(self, tenant_id: str, partition: int, runner_id: UUID, session_uid: UUID, event: str) -> bool:
        """Say that a session's agent is connected; false when the session is no longer the runner's."""

    async def connect_failed(self, tenant_id: str, session_uid: UUID, runner_id: UUID, delay: float) -> None:
        """Give a connection back, to be tried by anyone after so many seconds."""

    async def fail_session(self, tenant_id: str, partition: int, session_uid: UUID, actor: str, error: str) -> None:
        """Fail a session whose agent cannot be connected."""

    async def closed(self, tenant_id: str, session_uid: UUID, runner_id: UUID) -> None:
        """Say that a connection is closed."""
