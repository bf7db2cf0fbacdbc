"""The connections of sessions' agents in Postgres."""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import orjson

from libs.db import Database, KeyedBatcher, load_statements
from libs.notifications import Notifier
from services.runner.connections.ports import WantedConnection

_SQL = load_statements(Path(__file__).with_name("queries.sql"))


class PostgresConnections:
    """Which runner holds which session's agent; connects are batched by log partition and runner."""

    def __init__(self, database: Database, notifier: Notifier) -> None:
        self._database = database
        self._notifier = notifier
        self._connects: KeyedBatcher[tuple[str, int, UUID], tuple[UUID, str], bool] = KeyedBatcher(self._flush_connects)

    async def wanted(self, runner_id: UUID, limit: int) -> list[WantedConnection]:
        """Take sessions that want a connection; none for a runner that was declared dead."""
        return await self._database.records(WantedConnection, _SQL["wanted"], (runner_id, runner_id, limit))

    async def connected(self, tenant_id: str, part: int, runner_id: UUID, session_uid: UUID, event: str) -> bool:
        """Say that a session's agent is connected; false when the session is no longer the runner's."""
        return await self._connects.run((tenant_id, part, runner_id), (session_uid, event))

    async def _flush_connects(
        self, key: tuple[str, int, UUID], items: Sequence[tuple[UUID, str]]
    ) -> Sequence[bool]:  # fmt: skip
        tenant_id, part, runner_id = key
        body = orjson.dumps([{"uid": str(uid), "event": event} for uid, event in items]).decode()
        rows = await self._database.rows(_SQL["connected"], (tenant_id, part, runner_id, body))
        if rows:
            self._notifier.appended(tenant_id, part, *rows[0][1:])
            self._notifier.commands_waiting()
        connected = {row[0] for row in rows}
        return [uid in connected for uid, _ in items]

    async def connect_failed(self, tenant_id: str, session_uid: UUID, runner_id: UUID, delay: float) -> None:
        """Give a connection back, to be tried by anyone after so many seconds."""
        await self._database.changed(_SQL["connect_failed"], (delay, tenant_id, session_uid, runner_id))

    async def fail_session(self, tenant_id: str, part: int, session_uid: UUID, actor: str, error: str) -> None:
        """Fail a session whose agent cannot be connected."""
        rows = await self._database.rows(_SQL["fail_session"], (tenant_id, part, session_uid, actor, error))
        _, runners, first, last, notification = rows[0]
        if first is not None:
            self._notifier.appended(tenant_id, part, first, last, notification)
        for runner_id in runners or ():
            self._notifier.runner_asked(runner_id)
        self._notifier.sessions_closing()

    async def closed(self, tenant_id: str, session_uid: UUID, runner_id: UUID) -> None:
        """Say that a connection is closed."""
        await self._database.changed(_SQL["closed"], (tenant_id, session_uid, runner_id))
