"""The storage that the use cases of agents need."""

from collections.abc import Mapping
from typing import Any, Protocol

from libs.idempotency import IdempotencyKey
from services.session.agents.model import Agent, AgentCode, NewAgent


class AgentStore(Protocol):
    """Stores agents."""

    async def create(
        self, tenant_id: str, agent: NewAgent, key: IdempotencyKey | None
    ) -> tuple[AgentCode, Agent | None]:
        """Store a new agent. Returns `ok` with it, or `exists`, `reused` or `in_use`."""

    async def get(self, tenant_id: str, agent_id: str) -> Agent | None:
        """Return an agent, None when there is none."""

    async def find(self, tenant_id: str, after: Mapping[str, Any] | None, limit: int) -> list[Agent]:
        """Return up to `limit` agents, ordered by id, after the keyset `{"after"}`."""

    async def update(self, tenant_id: str, agent: Agent, key: IdempotencyKey | None) -> tuple[AgentCode, Agent | None]:
        """Replace an agent of the same version. Returns `ok` with it, or `conflict`, `reused` or `in_use`."""

    async def delete(self, tenant_id: str, agent_id: str, version: int | None, key: IdempotencyKey | None) -> AgentCode:
        """Delete an agent. Returns `ok`, `missing`, `conflict`, `has_session`, `reused` or `in_use`."""
