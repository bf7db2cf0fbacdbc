"""The leases of runners in Postgres."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from libs.db import Database, load_statements
from services.runner.leases.ports import Instructions

_SQL = load_statements(Path(__file__).with_name("queries.sql"))


class PostgresLeases:
    """One row for each runner; a heartbeat touches no command (concurrency, rule 3)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, runner_id: UUID, name: str, slots: int, lease: float) -> None:
        """Enter a runner, with a first lease of so many seconds."""
        await self._database.changed(_SQL["register"], (runner_id, name, slots, lease))

    async def heartbeat(self, runner_id: UUID, lease: float) -> bool:
        """Extend the runner's lease. Returns False when the runner was declared dead: it owns nothing any more."""
        return await self._database.changed(_SQL["heartbeat"], (lease, runner_id)) == 1

    async def leave(self, runner_id: UUID) -> None:
        """Declare the runner dead at its own wish; what it still holds is taken from it at once."""
        await self._database.changed(_SQL["leave"], (runner_id,))

    async def instructions(self, runner_id: UUID, executing: Sequence[tuple[str, UUID, UUID]]) -> Instructions:
        """Return what is asked of a runner that executes these commands, as (tenant, command, lease token)."""
        lost: list[tuple[Any, ...]] = []
        if executing:
            items = [{"tenant_id": tenant, "id": command_id, "token": token} for tenant, command_id, token in executing]
            lost = await self._database.rows(_SQL["lost"], (orjson.dumps(items).decode(),))
        cancel = await self._database.rows(_SQL["to_cancel"], (runner_id,))
        close = await self._database.rows(_SQL["to_close"], (runner_id,))
        kill = await self._database.rows(_SQL["to_kill"], (runner_id,))
        owned = await self._database.rows(_SQL["owned"], (runner_id,))
        running = await self._database.rows(_SQL["running"], (runner_id,))
        return Instructions(
            [row[0] for row in cancel],
            [row[0] for row in lost],
            [(tenant, uid) for tenant, uid in close],
            [(tenant, uid) for tenant, uid in kill],
            [(tenant, uid) for tenant, uid in owned],
            [(tenant, part, command_id, token) for tenant, part, command_id, token in running],
        )
