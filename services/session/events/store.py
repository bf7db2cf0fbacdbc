"""The work stream in Postgres."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from libs.calls import Actor, IdempotencyKey
from libs.db import Database, KeyedBatcher, load_statements
from libs.db.folding import folded
from libs.failpoints import failpoint
from libs.notifications import Notifier
from services.session.events.model import Event, NewEvent
from services.session.events.ports import (
    Appended,
    LogHead,
    SessionHead,
)

_SQL = load_statements(Path(__file__).with_name("queries.sql"))


class PostgresEvents:
    """The events of all tenants; appends are batched by log partition."""

    def __init__(self, database: Database, notifier: Notifier) -> None:
        self._database = database
        self._notifier = notifier
        self._appends: KeyedBatcher[tuple[str, int], dict[str, Any], Appended] = KeyedBatcher(self._flush)

    async def make_tables(self) -> None:
        """Make the tables of the next four weeks; those that are there stay as they are."""
        await self._database.rows(_SQL["make_tables"])

    async def append(
        self, actor: Actor, part: int, session_id: str, events: Sequence[NewEvent], key: IdempotencyKey | None
    ) -> Appended:
        """Append all of the events or, when the session takes none, none."""
        item = {
            "session_id": session_id,
            "key": key.key if key else None,
            "hash": key.hash.hex() if key else None,
            "events": [
                {
                    "type": event.type, "level": event.level, "command_id": event.command_id,
                    "correlation_id": event.correlation_id, "actor": actor.name, "address": "",
                    "payload": event.payload,
                }
                for event in events
            ],
        }  # fmt: skip
        return await self._appends.run((actor.tenant_id, part), item)

    async def _flush(self, key: tuple[str, int], items: Sequence[dict[str, Any]]) -> list[Appended]:
        tenant_id, part = key
        batch, places = folded(items)
        rows = await self._database.rows(_SQL["append"], (tenant_id, part, orjson.dumps(batch).decode()))
        *_, first, last, notification = rows[0]
        if first is not None:
            self._notifier.appended(tenant_id, part, first, last, notification)
        failpoint("events.after_append_before_answer")
        answers = [Appended(code, low or 0, high or 0, detail or "") for _, code, low, high, detail, *_ in rows]
        return [answers[place] for place in places]

    async def head(self, tenant_id: str, session_id: str) -> SessionHead | None:
        """Return a session's head, None when there is no such session."""
        found = await self._database.records(SessionHead, _SQL["head"], (tenant_id, session_id))
        return found[0] if found else None

    async def log(self, tenant_id: str, part: int) -> LogHead | None:
        """Return a partition's head, None when the tenant has no log."""
        rows = await self._database.rows(_SQL["log"], (tenant_id, part))
        return LogHead(*rows[0]) if rows else None

    async def of_session(self, tenant_id: str, head: SessionHead, after: int, limit: int, size: int) -> list[Event]:
        """Return a session's events after a seq, in order: `limit` at most, or `size` bytes of payload, but one."""
        parameters = (tenant_id, head.session_uid, after, head.first_bucket, limit, size)
        return [Event(*row) for row in await self._database.rows(_SQL["of_session"], parameters)]

    async def of_part(self, tenant_id: str, part: int, after: int, upto: int, limit: int, size: int) -> list[Event]:
        """Return a partition's events after a position and up to another, in order, without holes: `limit` at most,
        or `size` bytes of payload, but one."""
        parameters = {
            "tenant": tenant_id, "part": part, "after": after, "upto": upto, "limit": limit, "size": size
        }  # fmt: skip
        return [Event(*row) for row in await self._database.rows(_SQL["of_part"], parameters)]

    async def positions(self, parts: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Return the last positions of partitions."""
        tenants, numbers = [tenant for tenant, _ in parts], [part for _, part in parts]
        rows = await self._database.rows(_SQL["positions"], (tenants, numbers))
        return {(tenant, part): position for tenant, part, position in rows}
