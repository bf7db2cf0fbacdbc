"""Stores the leases of runners in Postgres."""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import orjson

from libs.attempts import CommandLease
from libs.db import Database, load_statements
from services.runner.leases.model import HeldConnection, Instructions

_SQL = load_statements(Path(__file__).with_name("queries.sql"))


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

    async def instructions(self, runner_id: UUID, executing: Sequence[CommandLease]) -> Instructions:
        """Return the instructions for a runner. `executing` lists the commands that it executes."""
        lost: list[UUID] = []
        if executing:
            items = [{"tenant_id": one.tenant_id, "id": one.command_id, "token": one.lease_token} for one in executing]
            lost = await self._database.values(_SQL["lost"], (orjson.dumps(items).decode(),))
        return Instructions(
            await self._database.values(_SQL["to_cancel"], (runner_id,)),
            lost,
            await self._connections("to_close", runner_id),
            await self._connections("to_kill", runner_id),
            await self._connections("owned", runner_id),
            await self._database.records(CommandLease, _SQL["running"], (runner_id,)),
        )

    async def _connections(self, statement: str, runner_id: UUID) -> list[HeldConnection]:
        return await self._database.records(HeldConnection, _SQL[statement], (runner_id,))
