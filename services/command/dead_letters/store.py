"""Stores dead letters in Postgres."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from libs.attempts import FailureCode
from libs.db import Database, KeyedBatcher, load_statements
from libs.idempotency import IdempotencyKey
from services.command.commands.model import STORED, Command
from services.command.dead_letters.model import (
    Attempt,
    DeadLetter,
    DeadLetterFilter,
    PurgeCode,
)
from services.command.dead_letters.ports import (
    Match,
    Purged,
    RequeueDestination,
    RequeueTarget,
)

_SQL = load_statements(
    Path(__file__).with_name("queries.sql"),
    command=[name for name in STORED if name != "result"],
    brief=[name for name in STORED if name != "params"],
)
_READ_AT_ONCE = 100
_READ_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _DeadLetterRow:
    command_id: UUID
    reason: FailureCode
    dead_at: datetime
    requeued_as: UUID | None


@dataclass(frozen=True, slots=True)
class _Listed(Command):
    reason: FailureCode
    dead_at: datetime
    requeued_as: UUID | None


@dataclass(frozen=True, slots=True)
class _Read(Command):
    ord: int
    fits: bool


@dataclass(slots=True)
class _PurgeRow:
    code: PurgeCode
    answer: str


class PostgresDeadLetters:
    """The dead letters of all tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # For its retries: a purge that met a lock was rolled back as a whole.
        self._purges: KeyedBatcher[str, tuple[Any, ...], Purged] = KeyedBatcher(self._purge_one, max_batch=1)

    async def get(self, tenant_id: str, command_id: UUID) -> DeadLetter | None:
        """Return a dead letter, None when there is none."""
        dead_letters = await self._database.records(_DeadLetterRow, _SQL["dead_letter"], (tenant_id, command_id))
        commands = await self._database.records(Command, _SQL["get_command"], (tenant_id, command_id))
        if not dead_letters or not commands:
            return None
        return DeadLetter(commands[0], dead_letters[0].reason, dead_letters[0].dead_at, dead_letters[0].requeued_as)

    async def attempts(self, tenant_id: str, command_id: UUID) -> list[Attempt]:
        """Return a command's ended attempts, oldest first."""
        return await self._database.records(Attempt, _SQL["attempts"], (tenant_id, command_id))

    async def find(
        self, tenant_id: str, wanted: DeadLetterFilter, after: Mapping[str, Any] | None, limit: int
    ) -> list[DeadLetter]:
        """Return dead letters, newest first, after the keyset `{"at", "id"}`."""
        values = {"at": None, "id": None, **(after or {}), **_filter(tenant_id, wanted, limit)}
        found = await self._database.records(_Listed, _SQL["find"], values)
        return [DeadLetter(one, one.reason, one.dead_at, one.requeued_as) for one in found]

    async def match(
        self, tenant_id: str, wanted: DeadLetterFilter, after: Mapping[str, Any] | None, limit: int
    ) -> list[Match]:
        """Return matches, oldest first, after the keyset `{"at", "id", "until"}` and not later than `until`."""
        values = {"at": None, "id": None, "until": None, **(after or {}), **_filter(tenant_id, wanted, limit)}
        return await self._database.records(Match, _SQL["match"], values)

    async def count(self, tenant_id: str, wanted: DeadLetterFilter, limit: int) -> int:
        """Count the matches, up to `limit`."""
        (number,) = await self._database.values(_SQL["count"], _filter(tenant_id, wanted, limit))
        return int(number)

    async def requeue_targets(self, tenant_id: str, ids: Sequence[UUID]) -> dict[UUID, RequeueTarget]:
        """Return those of these dead letters that exist."""
        found = await self._database.records(
            RequeueTarget, _SQL["requeue_targets"], {"tenant": tenant_id, "ids": list(ids)}
        )
        return {one.command_id: one for one in found}

    async def commands(self, tenant_id: str, ids: Sequence[UUID]) -> tuple[dict[UUID, Command], int]:
        """Return the commands of the first ids, as many as fit into memory together, and the number of these ids."""
        chosen = list(ids[:_READ_AT_ONCE])
        if not chosen:
            return {}, 0
        values = {"tenant": tenant_id, "ids": chosen, "bytes": _READ_BYTES}
        found = await self._database.records(_Read, _SQL["commands"], values)
        number = next((one.ord - 1 for one in found if not one.fits), len(chosen))
        return {one.command_id: one for one in found if one.ord <= number}, number

    async def destinations(
        self, tenant_id: str, agent_ids: Sequence[str], session_id: str | None
    ) -> dict[str, RequeueDestination]:
        """Return where the agents' commands would go now."""
        found = await self._database.records(
            RequeueDestination, _SQL["destinations"], (tenant_id, list(agent_ids), session_id)
        )
        return {target.agent_id: target for target in found}

    async def purge(self, tenant_id: str, key: IdempotencyKey | None, command_id: UUID) -> PurgeCode:
        """Remove a dead letter in one transaction with the key. Returns `ok`, `replay`, `reused` or `gone`."""
        values = (tenant_id, key.key if key else None, key.hash if key else None, command_id)
        (code,) = await self._database.values(_SQL["purge"], values)
        return PurgeCode(code)

    async def purge_many(
        self, tenant_id: str, key: IdempotencyKey | None, ids: Sequence[UUID], *, requeued: bool | None, more: bool
    ) -> Purged:
        """Remove dead letters and store the answer under the key, in one transaction."""
        about = (key.key if key else None, key.hash if key else None)
        return await self._purges.run(tenant_id, (tenant_id, *about, list(ids), requeued, more))

    async def _purge_one(self, _: str, purges: Sequence[tuple[Any, ...]]) -> list[Purged]:
        (row,) = await self._database.records(_PurgeRow, _SQL["purge_many"], purges[0])
        if row.code == PurgeCode.REUSED:
            return [Purged(row.code)]
        answer = orjson.loads(row.answer)
        return [Purged(row.code, tuple(map(UUID, answer["purged"])), answer["more"])]


def _filter(tenant_id: str, wanted: DeadLetterFilter, limit: int) -> dict[str, Any]:
    return {
        **asdict(wanted),
        "reasons": list(wanted.reasons),
        "not_requeued": wanted.requeued is False,
        "tenant": tenant_id,
        "limit": limit,
    }
