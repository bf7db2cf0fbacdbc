"""The outbox and the reconciler's questions, in Postgres."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from libs.attempts import Finish, Finishes
from libs.db import Database, load_statements
from libs.notifications import Notifier
from services.command.dispatch.model import Dispatch
from services.command.dispatch.ports import (
    ExpiredLease,
    PendingPublication,
    Published,
)

_SQL = load_statements(Path(__file__).with_name("queries.sql"))


class PostgresDelivery:
    """`command.ready` as outbox and schedule, and what dead runners left behind."""

    def __init__(self, database: Database, notifier: Notifier, finishes: Finishes) -> None:
        self._database = database
        self._notifier = notifier
        self._finishes = finishes

    async def due(self, each: int, limit: int) -> list[Dispatch]:
        """Take what is due for dispatch, at most `each` of a tenant and priority; others will not take it for 2 s."""
        rows = await self._database.rows(_SQL["due"], {"each": each, "limit": limit})
        return [Dispatch(*row) for row in rows]

    async def next_due(self) -> float | None:
        """Return in how many seconds something becomes due, None when nothing waits."""
        rows = await self._database.rows(_SQL["next_due"])
        return rows[0][0] if rows else None

    async def in_flight(self) -> dict[tuple[str, int], int]:
        """Count the dispatches that stand in the stream, by tenant and priority."""
        rows = await self._database.rows(_SQL["standing"])
        return {(tenant, priority): count for tenant, priority, count in rows}

    async def mark(self, published: Sequence[Published]) -> None:
        """Remember where dispatches lie; those that were claimed meanwhile are gone."""
        if published:
            await self._database.changed(_SQL["mark"], (orjson.dumps([_mark(one) for one in published]).decode(),))

    async def published_to(self) -> list[tuple[UUID, int]]:
        """Return the runners and priorities that dispatches stand for."""
        return [(runner, priority) for runner, priority in await self._database.rows(_SQL["published_to"])]

    async def undelivered(self, runner_id: UUID, priority: int, epoch: str, upto: int) -> int:
        """Have those dispatched again that lie in another epoch, or at or below `upto` in this one."""
        parameters = {"runner": runner_id, "priority": priority, "epoch": epoch, "upto": upto}
        return await self._database.changed(_SQL["undelivered"], parameters)

    async def orphaned(self) -> int:
        """Have those dispatched again whose session has moved to another runner."""
        return await self._database.changed(_SQL["orphaned"])

    async def mark_runners_dead(self) -> list[tuple[UUID, str]]:
        """Declare the runners dead whose lease has lapsed."""
        return [(runner, name) for runner, name in await self._database.rows(_SQL["lapse_runners"])]

    async def free_connections(self) -> int:
        """Take connections from dead runners; answers how many want a new runner."""
        await self._database.changed(_SQL["drop_connections"])
        return len(await self._database.rows(_SQL["free_connections"]))

    async def expired(self) -> list[ExpiredLease]:
        """Return running commands of dead runners."""
        return await self._database.records(ExpiredLease, _SQL["expired"])

    async def overdue_cancels(self) -> list[ExpiredLease]:
        """Return running commands whose cancel was not heeded in time."""
        return await self._database.records(ExpiredLease, _SQL["overdue_cancels"])

    async def finish(self, tenant_id: str, part: int, finish: Finish) -> str:
        """End an attempt, fenced like a runner's."""
        return await self._finishes.finish(tenant_id, part, finish)

    async def dispatch_lost(self, tenant_id: str, command_ids: Sequence[UUID], error: str, actor: str) -> int:
        """Charge one attempt to queued commands whose dispatch nobody claimed."""
        charged = 0
        for tenant, part, ids in await self._database.rows(_SQL["parts"], (list(command_ids), tenant_id)):
            rows = await self._database.rows(_SQL["dispatch_lost"], (tenant, part, ids, error, actor))
            charged += len(rows)
            if rows and rows[0][2] is not None:
                self._notifier.appended(tenant, part, *rows[0][2:])
        return charged

    async def letters(self) -> list[PendingPublication]:
        """Return dead letters that the stream has not seen."""
        return await self._database.records(PendingPublication, _SQL["unpublished_letters"])

    async def mark_published_letters(self, letters: Sequence[PendingPublication]) -> None:
        """Remember that the stream has them."""
        tenants, ids = [letter.tenant_id for letter in letters], [letter.command_id for letter in letters]
        await self._database.changed(_SQL["mark_letters"], (tenants, ids))

    async def oldest_snapshot(self) -> float:
        """Return for how many seconds the oldest snapshot has been held, 0 when none is."""
        return float((await self._database.rows("select command.oldest_snapshot()"))[0][0])

    async def forget(self) -> None:
        """Delete idempotency keys, runners and ended commands that are past their time."""
        await self._database.changed(_SQL["forget_commands"])
        await self._database.changed(_SQL["forget_keys"])
        await self._database.changed(_SQL["forget_runners"])


def _mark(published: Published) -> dict[str, Any]:
    dispatch = published.dispatch
    return {
        "tenant_id": dispatch.tenant_id,
        "command_id": dispatch.command_id,
        "dispatch_no": dispatch.dispatch_no,
        "seq": published.sequence,
        "epoch": published.epoch,
        "runner_id": dispatch.runner_id,
    }
