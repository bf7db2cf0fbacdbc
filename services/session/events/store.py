"""Stores the work stream in Postgres."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from libs import notifications
from libs.calls import Actor
from libs.db import Database, KeyedBatcher, load_statements
from libs.failpoints import failpoint
from libs.idempotency import IdempotencyKey, KeyedItem, folded, key_columns
from libs.notifications import Notifier
from services.session.events.model import AppendCode, Event, NewEvent
from services.session.events.ports import (
    AppendResult,
    LogHead,
    SessionHead,
)

_SQL = load_statements(Path(__file__).with_name("queries.sql"))


@dataclass(slots=True)
class _AppendRow(notifications.Appended):
    ord: int
    code: AppendCode
    first_seq: int | None
    last_seq: int | None
    detail: str | None


@dataclass(slots=True)
class _Position:
    tenant_id: str
    partition: int
    position: int


class PostgresEvents:
    """The events of all tenants. Appends are batched by log partition."""

    def __init__(self, database: Database, notifier: Notifier) -> None:
        self._database = database
        self._notifier = notifier
        self._appends: KeyedBatcher[tuple[str, int], KeyedItem, AppendResult] = KeyedBatcher(self._flush)

    async def make_tables(self) -> None:
        """Create the tables of the next four weeks. Existing tables stay unchanged."""
        await self._database.values(_SQL["make_tables"])

    async def append(
        self, actor: Actor, partition: int, session_id: str, events: Sequence[NewEvent], key: IdempotencyKey | None
    ) -> AppendResult:
        """Append all of the events or, when the session accepts none, none."""
        item = {
            "session_id": session_id,
            "events": [
                {
                    "type": event.type, "level": event.level, "command_id": event.command_id,
                    "correlation_id": event.correlation_id, "actor": actor.name, "address": "",
                    "payload": event.payload,
                }
                for event in events
            ],
        }  # fmt: skip
        return await self._appends.run((actor.tenant_id, partition), KeyedItem(key, item))

    async def _flush(self, key: tuple[str, int], items: Sequence[KeyedItem]) -> list[AppendResult]:
        tenant_id, partition = key
        batch, indexes = folded(items)
        values = (tenant_id, partition, orjson.dumps([item.body for item in batch]).decode(), *key_columns(batch))
        rows = await self._database.records(_AppendRow, _SQL["append"], values)
        rows[0].announce(self._notifier, tenant_id, partition)
        failpoint("events.after_append_before_answer")
        answers = [AppendResult(row.code, row.first_seq or 0, row.last_seq or 0, row.detail or "") for row in rows]
        return [answers[index] for index in indexes]

    async def head(self, tenant_id: str, session_id: str) -> SessionHead | None:
        """Return a session's head, None when there is no such session."""
        found = await self._database.records(SessionHead, _SQL["head"], (tenant_id, session_id))
        return found[0] if found else None

    async def log(self, tenant_id: str, partition: int) -> LogHead:
        """Return a partition's head. Every tenant has one for each partition, from its first key on."""
        (head,) = await self._database.records(LogHead, _SQL["log"], (tenant_id, partition))
        return head

    async def of_session(self, tenant_id: str, head: SessionHead, after: int, limit: int, size: int) -> list[Event]:
        """Return a session's events after a seq, in order: at most `limit` and `size` bytes, but at least one."""
        parameters = (tenant_id, head.session_uid, after, head.first_bucket, limit, size)
        return await self._database.records(Event, _SQL["of_session"], parameters)

    async def of_partition(
        self, tenant_id: str, partition: int, after: int, upto: int, limit: int, size: int
    ) -> list[Event]:
        """Return a partition's events from after `after` up to `upto`, in order and without gaps.

        Returns at most `limit` events, and at most `size` bytes of payload but at least one event.
        """
        parameters = {
            "tenant": tenant_id, "partition": partition, "after": after, "upto": upto, "limit": limit, "size": size
        }  # fmt: skip
        return await self._database.records(Event, _SQL["of_partition"], parameters)

    async def positions(self, partitions: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Return the last position of each partition."""
        tenants, numbers = [tenant for tenant, _ in partitions], [partition for _, partition in partitions]
        rows = await self._database.records(_Position, _SQL["positions"], (tenants, numbers))
        return {(row.tenant_id, row.partition): row.position for row in rows}
