"""Stores agents in Postgres."""

from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb

from libs.calls import IdempotencyKey
from libs.db import Database, load_statements
from libs.ids import partition_of
from services.session.agents.model import Agent, KeyCode, NewAgent

_SQL = load_statements(Path(__file__).with_name("queries.sql"), agent=[field.name for field in fields(Agent)])


class PostgresAgents:
    """The agents of all tenants. Each change is one transaction with its idempotency key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, tenant_id: str, agent: NewAgent, key: IdempotencyKey | None) -> tuple[str, Agent | None]:
        """Store a new agent. Returns `ok` with it, or `exists`, `reused` or `running`."""
        async with self._database.connection() as connection, connection.transaction():
            code, kept = await _take_key(connection, tenant_id, key)
            if code != KeyCode.TAKEN:
                return code, kept
            row = (agent.agent_id, agent.display_name, agent.kind, agent.server, agent.exclusive)
            stored = await _agent(connection, _SQL["insert"], (tenant_id, *row, Jsonb(dict(agent.labels))))
            if stored is None:
                await _drop_key(connection, tenant_id, key)
                return "exists", None
            await _finish_key(connection, tenant_id, key, stored)
            return "ok", stored

    async def get(self, tenant_id: str, agent_id: str) -> Agent | None:
        """Return an agent, None when there is none."""
        found = await self._database.records(Agent, _SQL["get"], (tenant_id, agent_id))
        return found[0] if found else None

    async def find(self, tenant_id: str, after: str, limit: int) -> list[Agent]:
        """Return up to `limit` agents whose ids come after `after`, ordered by id."""
        return await self._database.records(Agent, _SQL["list"], (tenant_id, after, limit))

    async def update(self, tenant_id: str, agent: Agent, key: IdempotencyKey | None) -> tuple[str, Agent | None]:
        """Replace an agent of the same version. Returns `ok` with it, or `conflict`, `reused` or `running`."""
        async with self._database.connection() as connection, connection.transaction():
            code, kept = await _take_key(connection, tenant_id, key)
            if code != KeyCode.TAKEN:
                return code, kept
            values = {
                "tenant": tenant_id, "agent_id": agent.agent_id, "display_name": agent.display_name,
                "kind": agent.kind, "server": agent.server, "exclusive": agent.exclusive,
                "labels": Jsonb(dict(agent.labels)), "version": agent.version,
            }  # fmt: skip
            stored = await _agent(connection, _SQL["update"], values)
            if stored is None:
                await _drop_key(connection, tenant_id, key)
                return "conflict", None
            await _finish_key(connection, tenant_id, key, stored)
            return "ok", stored

    async def delete(self, tenant_id: str, agent_id: str, version: int | None, key: IdempotencyKey | None) -> str:
        """Delete an agent. Returns `ok`, `missing`, `conflict`, `in_use` (by a live session), `reused` or `running`."""
        async with self._database.connection() as connection, connection.transaction():
            code, _ = await _take_key(connection, tenant_id, key)
            if code != KeyCode.TAKEN:
                return code
            # A start takes the same lock. So it either ends before the delete begins, or finds no agent.
            await _value(connection, _SQL["lock_log"], (tenant_id, partition_of(agent_id)))
            stored = await _agent(connection, _SQL["get"], (tenant_id, agent_id))
            outcome = "missing" if stored is None else "conflict" if version not in (None, stored.version) else "ok"
            if stored is not None and outcome == "ok":
                values = {"tenant": tenant_id, "agent_id": agent_id, "version": stored.version}
                cursor = await connection.execute(_SQL["delete"].encode(), values)
                outcome = "ok" if cursor.rowcount else "in_use"
            if outcome == "ok":
                await _finish_key(connection, tenant_id, key, None)
            else:
                await _drop_key(connection, tenant_id, key)
            return outcome


async def _agent(connection: AsyncConnection, statement: str, parameters: Any) -> Agent | None:
    async with connection.cursor(row_factory=class_row(Agent)) as cursor:
        await cursor.execute(statement.encode(), parameters)
        return await cursor.fetchone()


async def _take_key(
    connection: AsyncConnection, tenant_id: str, key: IdempotencyKey | None
) -> tuple[str, Agent | None]:
    """Take the key: `taken`, or `ok` with the stored answer, or `reused`, or `running`."""
    if key is None:
        return KeyCode.TAKEN, None
    code = KeyCode(await _value(connection, _SQL["take_key"], (tenant_id, key.method, key.key, key.hash)))
    if code != KeyCode.REPLAY:
        return code, None
    kept = await _value(connection, _SQL["kept_answer"], (tenant_id, key.method, key.key))
    return "ok", _thawed(kept) if kept else None


async def _value(connection: AsyncConnection, statement: str, parameters: Any) -> Any:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(statement.encode(), parameters)
        return await cursor.fetchone()


def _thawed(kept: dict[str, Any]) -> Agent:
    times = {name: datetime.fromisoformat(kept[name]) for name in ("created_at", "updated_at")}
    return Agent(**{**kept, **times})


async def _finish_key(
    connection: AsyncConnection, tenant_id: str, key: IdempotencyKey | None, answer: Agent | None
) -> None:
    if key is not None:
        kept = orjson.dumps(answer).decode() if answer else None
        await _value(connection, _SQL["finish_key"], (tenant_id, key.method, key.key, kept))


async def _drop_key(connection: AsyncConnection, tenant_id: str, key: IdempotencyKey | None) -> None:
    if key is not None:
        await _value(connection, _SQL["drop_key"], (tenant_id, key.method, key.key))
