"""The ends of attempts in Postgres: the one way in which a runner or the reconciler ends an attempt."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import orjson

from libs.attempts.finish import LARGE_RESULT_BYTES, Finish
from libs.db import Database, KeyedBatcher, load_statements
from libs.notifications import Notifier

_SQL = load_statements(Path(__file__).with_name("queries.sql"))


class Finishes(Protocol):
    """Ends attempts. Every end is fenced by the lease token of its claim."""

    async def finish(self, tenant_id: str, part: int, finish: Finish) -> str:
        """End an attempt; returns the state that the command is in now, or `fenced` when the lease is gone."""


class PostgresFinishes:
    """Ends attempts, batched by log partition."""

    def __init__(self, database: Database, notifier: Notifier) -> None:
        self._database = database
        self._notifier = notifier
        self._finishes: KeyedBatcher[tuple[str, int], Finish, str] = KeyedBatcher(self._flush_finishes)

    async def finish(self, tenant_id: str, part: int, finish: Finish) -> str:
        """End an attempt; answers the state that the command is in now, or `fenced`."""
        return await self._finishes.run((tenant_id, part), finish)

    async def _flush_finishes(self, key: tuple[str, int], finishes: Sequence[Finish]) -> Sequence[str]:
        tenant_id, part = key
        items = [_finish_item(finish) for finish in finishes]
        rows = await self._database.rows(_SQL["finish"], (tenant_id, part, orjson.dumps(items).decode()))
        if rows and rows[0][-3] is not None:
            self._notifier.appended(tenant_id, part, *rows[0][-3:])
        if any(row[2] in ("retrying", "released") or row[3] for row in rows):
            self._notifier.commands_waiting()
        return [row[1] if row[1] == "fenced" else row[2] for row in rows]


def _finish_item(finish: Finish) -> dict[str, Any]:
    return {
        "id": str(finish.command_id),
        "token": str(finish.token),
        "outcome": finish.outcome,
        "result": finish.result,
        "large": finish.result is not None and len(finish.result.encode()) > LARGE_RESULT_BYTES,
        "error": finish.error,
        "reason": finish.reason,
        "delay_ms": finish.delay_ms,
        "charged": finish.charged,
        "actor": finish.actor,
        "event": finish.event,
        "note": finish.note,
        "counted": finish.counted,
    }
