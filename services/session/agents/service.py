"""The use cases of agents: create, read, change and delete."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from libs.errors import Reason, ServiceError
from libs.idempotency import IdempotencyKey, check_key
from services.session.agents.model import Agent, AgentCode, NewAgent
from services.session.agents.ports import AgentStore


class Agents:
    """The operations on agents. `servers` returns the names in the server registry, None when there is no registry."""

    def __init__(self, store: AgentStore, servers: Callable[[], Collection[str] | None]) -> None:
        self._store = store
        self._servers = servers

    async def create(self, tenant_id: str, agent: NewAgent, key: IdempotencyKey | None) -> Agent:
        """Store a new agent; raises ServiceError when its id is taken or its server is not registered."""
        self._check_server(agent)
        code, stored = await self._store.create(tenant_id, agent, key)
        check_key(code)
        if stored is None:
            raise ServiceError(
                Reason.AGENT_EXISTS,
                f"the agent id {agent.agent_id} is taken",
                metadata={"agent_id": agent.agent_id},
            )
        return stored

    async def get(self, tenant_id: str, agent_id: str) -> Agent:
        """Return an agent; raises ServiceError AGENT_NOT_FOUND."""
        agent = await self._store.get(tenant_id, agent_id)
        if agent is None:
            raise _missing(agent_id)
        return agent

    async def find(self, tenant_id: str, after: Mapping[str, Any] | None, limit: int) -> list[Agent]:
        """Return up to `limit` agents, ordered by id, after the keyset `{"after"}`."""
        return await self._store.find(tenant_id, after, limit)

    async def update(
        self, tenant_id: str, wanted: NewAgent, fields: Collection[str], version: int | None,
        key: IdempotencyKey | None,
    ) -> Agent:  # fmt: skip
        """Change the named fields; with `version`, only of that version. Raises ServiceError."""
        while True:
            stored = await self.get(tenant_id, wanted.agent_id)
            matches = version in (None, stored.version)
            # Version 0 matches nothing, but the store still looks up the key. A replay must succeed although the first
            # call has changed the version.
            changed = replace(_merged(stored, wanted, fields), version=stored.version if matches else 0)
            if "connector" in fields:
                self._check_server(changed)
            code, result = await self._store.update(tenant_id, changed, key)
            check_key(code)
            if result is not None:
                return result
            if not matches:
                raise _changed(stored)

    async def delete(self, tenant_id: str, agent_id: str, version: int | None, key: IdempotencyKey | None) -> None:
        """Delete an agent that has no live session. Raises ServiceError."""
        code = await self._store.delete(tenant_id, agent_id, version, key)
        check_key(code)
        if code == AgentCode.MISSING:
            raise _missing(agent_id)
        if code == AgentCode.CONFLICT:
            raise _changed(await self.get(tenant_id, agent_id))
        if code == AgentCode.HAS_SESSION:
            raise ServiceError(
                Reason.AGENT_IN_USE, f"agent {agent_id} has a live session; stop the session first",
                metadata={"agent_id": agent_id},
            )  # fmt: skip

    def _check_server(self, agent: NewAgent) -> None:
        known = self._servers() if agent.kind == "mcp" else None
        if known is not None and agent.server not in known:
            names = ", ".join(sorted(known)) or "none"
            raise ServiceError(
                Reason.SERVER_NOT_REGISTERED,
                f"server {agent.server} is not registered; registered servers are: {names}",
                metadata={"server": agent.server},
            )


def _merged(stored: Agent, wanted: NewAgent, fields: Collection[str]) -> Agent:
    changed = stored
    if "display_name" in fields:
        changed = replace(changed, display_name=wanted.display_name)
    if "connector" in fields:
        changed = replace(changed, kind=wanted.kind, server=wanted.server)
    if "exclusive" in fields:
        changed = replace(changed, exclusive=wanted.exclusive)
    if "labels" in fields:
        changed = replace(changed, labels=wanted.labels)
    return changed


def _missing(agent_id: str) -> ServiceError:
    return ServiceError(Reason.AGENT_NOT_FOUND, f"there is no agent {agent_id}", metadata={"agent_id": agent_id})


def _changed(stored: Agent) -> ServiceError:
    return ServiceError(
        Reason.ETAG_MISMATCH, f"agent {stored.agent_id} has changed since its etag was read",
        metadata={"etag": str(stored.version)},
    )  # fmt: skip
