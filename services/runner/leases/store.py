"""Stores the leases of runners in Postgres."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import orjson

from libs.db import Database, load_statements
from services.runner.leases.ports import Instructions

_SQL = load_statements(Path(__file__).with_name("queries.sql"))


@dataclass(slots=True)
class _Session:
    tenant_id: str
    session_uid: UUID


@dataclass(slots=True)
class _Running:
    tenant_id: str
    partition: int
    command_id: UUID
    lease_token: UUID


class PostgresLeases:
    """Runners have one row each. A heartbeat touches no command (concurrency, rule 3)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, runner_id: UUID, name: str, slots: int, lease: float) -> None:
        """Register a runner with a first lease of `lease` seconds."""
        await self._database.changed(_SQL["register"], (runner_id, name, slots, lease))

    async def heartbeat(self, runner_id: UUID, lease: float) -> bool:
        """Extend the lease to `lease` seconds from now. Returns False if the runner was declared dead."""
        return await self._database.changed(_SQL["heartbeat"], (lease, runner_id)) == 1

    async def leave(self, runner_id: UUID) -> None:
        """Declare the runner dead at its own request. Whatever it still holds is freed at once."""
        await self._database.changed(_SQL["leave"], (runner_id,))

    async def instructions(self, runner_id: UUID, executing: Sequence[tuple[str, UUID, UUID]]) -> Instructions:
        """Return the instructions for a runner. `executing` lists its commands as (tenant, command, lease token)."""
        lost: list[UUID] = []
        if executing:
            items = [{"tenant_id": tenant, "id": command_id, "token": token} for tenant, command_id, token in executing]
            lost = await self._database.values(_SQL["lost"], (orjson.dumps(items).decode(),))
        running = await self._database.records(_Running, _SQL["running"], (runner_id,))
        return Instructions(
            await self._database.values(_SQL["to_cancel"], (runner_id,)),
            lost,
            await self._sessions("to_close", runner_id),
            await self._sessions("to_kill", runner_id),
            await self._sessions("owned", runner_id),
            [(row.tenant_id, row.partition, row.command_id, row.lease_token) for row in running],
        )

    async def _sessions(self, statement: str, runner_id: UUID) -> list[tuple[str, UUID]]:
        rows = await self._database.records(_Session, _SQL[statement], (runner_id,))
        return [(row.tenant_id, row.session_uid) for row in rows]
