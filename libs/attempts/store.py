"""Stores the ends of attempts in Postgres. Runners and the reconciler end attempts only through this module."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import orjson

from libs.attempts.codes import FenceCode
from libs.attempts.finish import LARGE_RESULT_BYTES, Ending, Finish
from libs.attempts.model import Outcome
from libs.db import Database, KeyedBatcher, load_statements
from libs.notifications import Appended, Notifier

_SQL = load_statements(Path(__file__).with_name("queries.sql"))


class Finishes(Protocol):
    """Ends attempts. Every end is fenced by the lease token of its claim."""

    async def finish(self, tenant_id: str, partition: int, finish: Finish) -> Ending:
        """End an attempt. Returns how it ended, or `fenced` if the lease no longer holds."""


@dataclass(slots=True)
class _FinishRow(Appended):
    command_id: UUID
    code: FenceCode
    state: Outcome | None
    unblocked: bool


class PostgresFinishes:
    """Ends attempts, batched by log partition."""

    def __init__(self, database: Database, notifier: Notifier) -> None:
        self._database = database
        self._notifier = notifier
        self._finishes: KeyedBatcher[tuple[str, int], Finish, Ending] = KeyedBatcher(self._flush_finishes)

    async def finish(self, tenant_id: str, partition: int, finish: Finish) -> Ending:
        """End an attempt. Returns how it ended, or `fenced` if the lease no longer holds."""
        return await self._finishes.run((tenant_id, partition), finish)

    async def _flush_finishes(self, key: tuple[str, int], finishes: Sequence[Finish]) -> Sequence[Ending]:
        tenant_id, partition = key
        items = [_finish_item(finish) for finish in finishes]
        body = orjson.dumps(items).decode()
        rows = await self._database.records(_FinishRow, _SQL["finish"], (tenant_id, partition, body))
        rows[0].announce(self._notifier, tenant_id, partition)
        if any(row.state in (Outcome.RETRYING, Outcome.RELEASED) or row.unblocked for row in rows):
            self._notifier.commands_waiting()
        return [row.state or FenceCode.FENCED for row in rows]


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
