"""Stores agents in Postgres."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from psycopg.types.json import Jsonb

from libs.db import Database, Queries, load_statements
from libs.idempotency import IdempotencyKey, KeyCode, PostgresKeys, Taken
from libs.ids import partition_of
from services.session.agents.model import Agent, AgentCode, NewAgent

_SQL = load_statements(Path(__file__).with_name("queries.sql"), agent=[field.name for field in fields(Agent)])


class PostgresAgents:
    """The agents of all tenants. Each change is one transaction with its idempotency key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, tenant_id: str, agent: NewAgent, key: IdempotencyKey | None
    ) -> tuple[AgentCode, Agent | None]:
        """Store a new agent. Returns `ok` with it, or `exists`, `reused` or `in_use`."""
        async with self._database.transaction() as transaction:
            taken = await _take_key(transaction, tenant_id, key)
            if taken.code != KeyCode.TAKEN:
                return _answer_of(taken)
            row = (agent.agent_id, agent.display_name, agent.kind, agent.server, agent.exclusive)
            values = (tenant_id, *row, Jsonb(dict(agent.labels)))
            stored = await transaction.records(Agent, _SQL["insert"], values)
            await _settle_key(transaction, tenant_id, key, orjson.dumps(stored[0]) if stored else None)
            return (AgentCode.OK, stored[0]) if stored else (AgentCode.EXISTS, None)

    async def get(self, tenant_id: str, agent_id: str) -> Agent | None:
        """Return an agent, None when there is none."""
        found = await self._database.records(Agent, _SQL["get"], (tenant_id, agent_id))
        return found[0] if found else None

    async def find(self, tenant_id: str, after: Mapping[str, Any] | None, limit: int) -> list[Agent]:
        """Return up to `limit` agents, ordered by id, after the keyset `{"after"}`."""
        return await self._database.records(Agent, _SQL["list"], (tenant_id, after["after"] if after else "", limit))

    async def update(self, tenant_id: str, agent: Agent, key: IdempotencyKey | None) -> tuple[AgentCode, Agent | None]:
        """Replace an agent of the same version. Returns `ok` with it, or `conflict`, `reused` or `in_use`."""
        async with self._database.transaction() as transaction:
            taken = await _take_key(transaction, tenant_id, key)
            if taken.code != KeyCode.TAKEN:
                return _answer_of(taken)
            values = {
                "tenant": tenant_id, "agent_id": agent.agent_id, "display_name": agent.display_name,
                "kind": agent.kind, "server": agent.server, "exclusive": agent.exclusive,
                "labels": Jsonb(dict(agent.labels)), "version": agent.version,
            }  # fmt: skip
            stored = await transaction.records(Agent, _SQL["update"], values)
            await _settle_key(transaction, tenant_id, key, orjson.dumps(stored[0]) if stored else None)
            return (AgentCode.OK, stored[0]) if stored else (AgentCode.CONFLICT, None)

    async def delete(self, tenant_id: str, agent_id: str, version: int | None, key: IdempotencyKey | None) -> AgentCode:
        """Delete an agent. Returns `ok`, `missing`, `conflict`, `has_session`, `reused` or `in_use`."""
        async with self._database.transaction() as transaction:
            taken = await _take_key(transaction, tenant_id, key)
            if taken.code != KeyCode.TAKEN:
                return AgentCode.OK if taken.code == KeyCode.REPLAY else AgentCode(taken.code)
            # A start takes the same lock. So it either ends before the delete begins, or finds no agent.
            await transaction.values(_SQL["lock_log"], (tenant_id, partition_of(agent_id)))
            code = await _delete(transaction, tenant_id, agent_id, version)
            await _settle_key(transaction, tenant_id, key, b"null" if code == AgentCode.OK else None)
            return code


async def _delete(transaction: Queries, tenant_id: str, agent_id: str, version: int | None) -> AgentCode:
    found = await transaction.records(Agent, _SQL["get"], (tenant_id, agent_id))
    if not found:
        return AgentCode.MISSING
    if version not in (None, found[0].version):
        return AgentCode.CONFLICT
    values = {"tenant": tenant_id, "agent_id": agent_id, "version": found[0].version}
    return AgentCode.OK if await transaction.changed(_SQL["delete"], values) else AgentCode.HAS_SESSION


async def _take_key(transaction: Queries, tenant_id: str, key: IdempotencyKey | None) -> Taken:
    return Taken(KeyCode.TAKEN) if key is None else await PostgresKeys(transaction).take(tenant_id, key)


async def _settle_key(
    transaction: Queries, tenant_id: str, key: IdempotencyKey | None, response: bytes | None
) -> None:  # fmt: skip
    """Store the response of the key, or release the key if the change was rejected."""
    if key is None:
        return
    if response is None:
        await PostgresKeys(transaction).release(tenant_id, key)
    else:
        await PostgresKeys(transaction).finish(tenant_id, key, response.decode())


def _answer_of(taken: Taken) -> tuple[AgentCode, Agent | None]:
    """Return the stored agent for a replay, or the code that says why the key cannot be used."""
    if taken.response is None:
        return AgentCode(taken.code), None
    kept: dict[str, Any] = orjson.loads(taken.response)
    times = {name: datetime.fromisoformat(kept[name]) for name in ("created_at", "updated_at")}
    return AgentCode.OK, Agent(**{**kept, **times})
