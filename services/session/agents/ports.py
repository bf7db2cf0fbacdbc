"""What the agents' use cases need of storage."""

from typing import Protocol

from libs.calls import IdempotencyKey
from services.session.agents.model import Agent, NewAgent


class AgentStore(Protocol):
    """Agents."""

    async def create(self, tenant_id: str, agent: NewAgent, key: IdempotencyKey | None) -> tuple[str, Agent | None]:
        """Store an agent; answers `ok`, `exists`, `reused` or `running`."""

    async def get(self, tenant_id: str, agent_id: str) -> Agent | None:
        """Return an agent, None when there is none."""

    async def find(self, tenant_id: str, after: str, limit: int) -> list[Agent]:
        """Return agents by id, after one."""

    async def update(self, tenant_id: str, agent: Agent, key: IdempotencyKey | None) -> tuple[str, Agent | None]:
        """Store the agent if its version is still the stored one; answers `ok`, `conflict`, `reused` or `running`."""

    async def delete(self, tenant_id: str, agent_id: str, version: int | None, key: IdempotencyKey | None) -> str:
        """Delete an agent without a live session: `ok`, `missing`, `conflict`, `in_use`, `reused` or `running`."""
