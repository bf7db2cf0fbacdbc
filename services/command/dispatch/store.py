"""The outbox and the queries of the reconciler, in Postgres."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from libs.attempts import Ending, Finish, Finishes, Outcome
from libs.db import Database, load_statements
from libs.idempotency import PostgresKeys
from libs.notifications import Appended, Notifier
from services.command.dispatch.model import Dispatch
from services.command.dispatch.ports import (
    ExpiredLease,
    PendingPublication,
    Published,
)

_SQL = load_statements(Path(__file__).with_name("queries.sql"))


@dataclass(slots=True)
class _InFlight:
    tenant_id: str
    priority: int
    count: int


@dataclass(slots=True)
class _PublishedTo:
    published_to: UUID
    priority: int


@dataclass(slots=True)
class _Runner:
    runner_id: UUID
    name: str


@dataclass(slots=True)
class _Group:
    tenant_id: str
    partition: int
    command_ids: list[UUID]


@dataclass(slots=True)
class _LostRow(Appended):
    command_id: UUID
    state: Outcome


class PostgresDelivery:
    """Reads and writes `command.ready`, and finds the leftovers of dead runners."""

    def __init__(self, database: Database, notifier: Notifier, finishes: Finishes) -> None:
        self._database = database
        self._keys = PostgresKeys(database)
        self._notifier = notifier
        self._finishes = finishes

    async def due(self, each: int, limit: int) -> list[Dispatch]:
        """Take due dispatches, at most `each` of a tenant and priority. Other replicas do not take them for 2 s."""
        return await self._database.records(Dispatch, _SQL["due"], {"each": each, "limit": limit})

    async def next_due(self) -> float | None:
        """Return the seconds until the next dispatch is due, None when none waits."""
        (seconds,) = await self._database.values(_SQL["next_due"])
        return None if seconds is None else float(seconds)

    async def in_flight(self) -> dict[tuple[str, int], int]:
        """Count the dispatches in the stream, by tenant and priority."""
        rows = await self._database.records(_InFlight, _SQL["in_flight"])
        return {(row.tenant_id, row.priority): row.count for row in rows}

    async def mark(self, published: Sequence[Published]) -> None:
        """Record the sequences of dispatches. Those that were claimed in the meantime are skipped."""
        if published:
            await self._database.changed(_SQL["mark"], (orjson.dumps([_mark(one) for one in published]).decode(),))

    async def published_to(self) -> list[tuple[UUID, int]]:
        """Return the runners and priorities of the dispatches in the stream."""
        rows = await self._database.records(_PublishedTo, _SQL["published_to"])
        return [(row.published_to, row.priority) for row in rows]

    async def undelivered(self, runner_id: UUID, priority: int, epoch: str, upto: int) -> int:
        """Make dispatches due again that are in another epoch, or not above `upto` in this one. Returns how many."""
        parameters = {"runner": runner_id, "priority": priority, "epoch": epoch, "upto": upto}
        return await self._database.changed(_SQL["undelivered"], parameters)

    async def orphaned(self) -> int:
        """Make dispatches due again whose session has moved to another runner. Returns how many."""
        return await self._database.changed(_SQL["orphaned"])

    async def mark_runners_dead(self) -> list[tuple[UUID, str]]:
        """Mark the runners with an expired lease as dead, and return their ids and names."""
        rows = await self._database.records(_Runner, _SQL["mark_runners_dead"])
        return [(row.runner_id, row.name) for row in rows]

    async def free_connections(self) -> int:
        """Take the connections of dead runners from them. Returns how many need a new runner."""
        await self._database.changed(_SQL["drop_connections"])
        return len(await self._database.values(_SQL["free_connections"]))

    async def expired(self) -> list[ExpiredLease]:
        """Return running commands of dead runners."""
        return await self._database.records(ExpiredLease, _SQL["expired"])

    async def overdue_cancels(self) -> list[ExpiredLease]:
        """Return running commands that did not stop within the grace of their cancel."""
        return await self._database.records(ExpiredLease, _SQL["overdue_cancels"])

    async def finish(self, tenant_id: str, partition: int, finish: Finish) -> Ending:
        """End an attempt, fenced like one of a runner, and return how it ended."""
        return await self._finishes.finish(tenant_id, partition, finish)

    async def dispatch_lost(self, tenant_id: str, command_ids: Sequence[UUID], error: str, actor: str) -> int:
        """Charge one attempt to queued commands whose dispatch no runner claimed. Returns how many."""
        charged = 0
        for group in await self._database.records(_Group, _SQL["partitions"], (list(command_ids), tenant_id)):
            values = (group.tenant_id, group.partition, group.command_ids, error, actor)
            rows = await self._database.records(_LostRow, _SQL["dispatch_lost"], values)
            charged += len(rows)
            if rows:
                rows[0].announce(self._notifier, group.tenant_id, group.partition)
        return charged

    async def unpublished_dead_letters(self) -> list[PendingPublication]:
        """Return dead letters that are not in the stream yet."""
        return await self._database.records(PendingPublication, _SQL["unpublished_dead_letters"])

    async def mark_dead_letters_published(self, dead_letters: Sequence[PendingPublication]) -> None:
        """Record that the stream has these dead letters."""
        tenants, ids = [one.tenant_id for one in dead_letters], [one.command_id for one in dead_letters]
        await self._database.changed(_SQL["mark_published"], (tenants, ids))

    async def oldest_snapshot(self) -> float:
        """Return for how many seconds the oldest snapshot has been held, 0 when none is."""
        (seconds,) = await self._database.values(_SQL["oldest_snapshot"])
        return float(seconds)

    async def forget(self) -> None:
        """Delete expired idempotency keys, dead runners, and ended commands whose retention is over."""
        await self._database.changed(_SQL["forget_commands"])
        await self._keys.forget_expired()
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
