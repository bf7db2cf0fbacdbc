"""Dead letters in Postgres."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from libs.db import Database, load_statements
from services.command.domain.command import Attempt, Command, DeadLetter, DeadLetterFilter
from services.command.store.commands import COLUMNS, TABLE, place_of

_SQL = load_statements(Path(__file__).with_name("commands.sql"))
_names = ["tenant_id", "command_id", "agent_id", "session_id", "type", "reason", "dead_at", "requeued_as"]
_LETTERS = sa.table("dead_letters", *(sa.column(name) for name in _names), schema="command")


@dataclass(frozen=True, slots=True)
class _Letter:
    command_id: UUID
    reason: str
    dead_at: datetime
    requeued_as: UUID | None


class PostgresDeadLetters:
    """The dead letters of all tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tenant_id: str, command_id: UUID) -> DeadLetter | None:
        """Return a dead letter, None when there is none."""
        letters = await self._database.records(_Letter, _SQL["dead_letter"], (tenant_id, command_id))
        commands = await self._database.records(Command, _SQL["get"], (tenant_id, command_id))
        if not letters or not commands:
            return None
        return DeadLetter(commands[0], letters[0].reason, letters[0].dead_at, letters[0].requeued_as)

    async def attempts(self, tenant_id: str, command_id: UUID) -> list[Attempt]:
        """Return a command's ended attempts, oldest first."""
        return await self._database.records(Attempt, _SQL["attempts"], (tenant_id, command_id))

    async def find(
        self, tenant_id: str, wanted: DeadLetterFilter, after: Mapping[str, Any] | None, limit: int
    ) -> list[DeadLetter]:
        """Return dead letters, newest first, after the place `{"at", "id"}`."""
        letters = _LETTERS.c
        query = (
            sa.select(letters.command_id, letters.reason, letters.dead_at, letters.requeued_as)
            .where(letters.tenant_id == tenant_id)
            .order_by(letters.dead_at.desc(), letters.command_id.desc())
            .limit(limit)
        )
        for name in ("agent_id", "session_id", "type", "reason"):
            if value := getattr(wanted, name):
                query = query.where(letters[name] == value)
        if after:
            query = query.where(sa.tuple_(letters.dead_at, letters.command_id) < place_of(after))
        found = await self._database.selected(_Letter, query)
        ids = [letter.command_id for letter in found]
        columns = (TABLE.c[name] for name in COLUMNS)
        of_these = sa.select(*columns).where(TABLE.c.tenant_id == tenant_id, TABLE.c.command_id.in_(ids))
        commands = {c.command_id: c for c in await self._database.selected(Command, of_these)} if ids else {}
        return [
            DeadLetter(commands[letter.command_id], letter.reason, letter.dead_at, letter.requeued_as)
            for letter in found
        ]

    async def purge(self, tenant_id: str, command_id: UUID) -> bool:
        """Remove a dead letter; false when there is none."""
        return await self._database.changed(_SQL["purge"], (tenant_id, command_id)) > 0
