"""Stores the connections of sessions' agents in Postgres."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import orjson

from libs.db import Database, KeyedBatcher, load_statements
from libs.notifications import Appended, Notifier
from services.runner.connections.model import WantedConnection

_SQL = load_statements(Path(__file__).with_name("queries.sql"))


@dataclass(slots=True)
class _ConnectedRow(Appended):
    session_uid: UUID


@dataclass(slots=True)
class _FailRow(Appended):
    runners: list[UUID] | None


class PostgresConnections:
    """Stores which runner holds which session. Connects are batched by log partition and runner."""

    def __init__(self, database: Database, notifier: Notifier) -> None:
        self._database = database
        self._notifier = notifier
        self._connects: KeyedBatcher[tuple[str, int, UUID], tuple[UUID, str], bool] = KeyedBatcher(self._flush_connects)

    async def wanted(self, runner_id: UUID, limit: int) -> list[WantedConnection]:
        """Assign up to `limit` sessions that need a connection to the runner. A dead runner gets none."""
        return await self._database.records(WantedConnection, _SQL["wanted"], (runner_id, runner_id, limit))

    async def connected(self, tenant_id: str, partition: int, runner_id: UUID, session_uid: UUID, event: str) -> bool:
        """Record that a session's agent is connected. Returns False if the session no longer belongs to the runner."""
        return await self._connects.run((tenant_id, partition, runner_id), (session_uid, event))

    async def _flush_connects(
        self, key: tuple[str, int, UUID], items: Sequence[tuple[UUID, str]]
    ) -> Sequence[bool]:  # fmt: skip
        tenant_id, partition, runner_id = key
        body = orjson.dumps([{"uid": str(uid), "event": event} for uid, event in items]).decode()
        rows = await self._database.records(_ConnectedRow, _SQL["connected"], (tenant_id, partition, runner_id, body))
        if rows:
            rows[0].announce(self._notifier, tenant_id, partition)
            self._notifier.commands_waiting()
        connected = {row.session_uid for row in rows}
        return [uid in connected for uid, _ in items]

    async def connect_failed(self, tenant_id: str, session_uid: UUID, runner_id: UUID, delay: float) -> None:
        """Release a session, so that any runner may connect it after `delay` seconds."""
        await self._database.changed(_SQL["connect_failed"], (delay, tenant_id, session_uid, runner_id))

    async def fail_session(self, tenant_id: str, partition: int, session_uid: UUID, actor: str, error: str) -> None:
        """Fail a session whose agent cannot be connected."""
        values = (tenant_id, partition, session_uid, actor, error)
        (row,) = await self._database.records(_FailRow, _SQL["fail_session"], values)
        row.announce(self._notifier, tenant_id, partition)
        for runner_id in row.runners or ():
            self._notifier.runner_has_work(runner_id)
        self._notifier.sessions_closing()

    async def closed(self, tenant_id: str, session_uid: UUID, runner_id: UUID) -> None:
        """Record that a connection is closed."""
        await self._database.changed(_SQL["closed"], (tenant_id, session_uid, runner_id))
