"""The storage that connections need."""

from typing import Protocol
from uuid import UUID

from services.runner.connections.model import WantedConnection


class ConnectionStore(Protocol):
    """Stores which runner holds the connection of which session."""

    async def wanted(self, runner_id: UUID, limit: int) -> list[WantedConnection]:
        """Assign up to `limit` sessions that need a connection to the runner, and return them."""

    async def connected(self, tenant_id: str, partition: int, runner_id: UUID, session_uid: UUID, event: str) -> bool:
        """Record that a session's agent is connected. Returns False if the session no longer belongs to the runner."""

    async def connect_failed(self, tenant_id: str, session_uid: UUID, runner_id: UUID, delay: float) -> None:
        """Release a session, so that any runner may connect it after `delay` seconds."""

    async def fail_session(self, tenant_id: str, partition: int, session_uid: UUID, actor: str, error: str) -> None:
        """Fail a session whose agent cannot be connected."""

    async def closed(self, tenant_id: str, session_uid: UUID, runner_id: UUID) -> None:
        """Record that a connection is closed."""
