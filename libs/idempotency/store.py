"""Idempotency keys in Postgres."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from libs.db import Queries, load_statements
from libs.idempotency.model import IdempotencyKey, KeyCode, KeyState, Taken

_SQL = load_statements(Path(__file__).with_name("queries.sql"))

LEASE_SECONDS = 60.0
"""Longer than a call lives. A key whose holder died cannot be used again for so long at most."""


class KeyStore(Protocol):
    """Remembers for 24 hours which request a key was used with, and what came of it."""

    async def take(
        self, tenant_id: str, key: IdempotencyKey, response: str | None = None, lease: float = LEASE_SECONDS
    ) -> Taken:
        """Take a key: with its response, when that is known already, else for so many seconds.

        The same request takes a key again whose lease is over, with the plan that it has.
        """

    async def keep_plan(self, tenant_id: str, key: IdempotencyKey, plan: str) -> str:
        """Store what a key stands for; the first plan stays, and is returned."""

    async def finish(self, tenant_id: str, key: IdempotencyKey, response: str) -> str:
        """Store what the key replays from now on; the first response stays, and is returned."""

    async def release(self, tenant_id: str, key: IdempotencyKey, taken_as: KeyState = KeyState.RUNNING) -> None:
        """Give a key back that was taken without a response, or, as `done`, with one.

        One that has a plan keeps it, and its lease is over; every other is forgotten.
        """


@dataclass(frozen=True, slots=True)
class _Row:
    code: str
    plan: str | None
    response: str | None


class PostgresKeys:
    """Keys in Postgres: each call is a transaction of its own, or part of the one that `queries` runs in."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def take(
        self, tenant_id: str, key: IdempotencyKey, response: str | None = None, lease: float = LEASE_SECONDS
    ) -> Taken:
        """Take a key: with its response, when that is known already, else for so many seconds."""
        values = {**_named(tenant_id, key), "hash": key.hash, "response": response, "lease": lease}
        (row,) = await self._queries.records(_Row, _SQL["take"], values)
        return Taken(KeyCode(row.code), row.plan, row.response)

    async def keep_plan(self, tenant_id: str, key: IdempotencyKey, plan: str) -> str:
        """Store what a key stands for; the first plan stays, and is returned."""
        (kept,) = await self._queries.values(_SQL["keep_plan"], {**_named(tenant_id, key), "plan": plan})
        return plan if kept is None else str(kept)

    async def finish(self, tenant_id: str, key: IdempotencyKey, response: str) -> str:
        """Store what the key replays from now on; the first response stays, and is returned."""
        (kept,) = await self._queries.values(_SQL["finish"], {**_named(tenant_id, key), "response": response})
        return response if kept is None else str(kept)  # without a row the key's 24 hours ended meanwhile

    async def release(self, tenant_id: str, key: IdempotencyKey, taken_as: KeyState = KeyState.RUNNING) -> None:
        """Give a key back that was taken without a response, or, as `done`, with one."""
        await self._queries.values(_SQL["release"], {**_named(tenant_id, key), "state": taken_as.value})

    async def leave_note(self, tenant_id: str, method: str, key: str, note: str) -> str | None:
        """Leave a note, a JSON text, for the first use of a key; returns the key's response if it has been used."""
        values = {"tenant": tenant_id, "method": method, "key": key, "note": note}
        (response,) = await self._queries.values(_SQL["leave_note"], values)
        return None if response is None else str(response)

    async def forget_expired(self) -> None:
        """Delete keys that are past their time."""
        await self._queries.values(_SQL["forget_expired"])


def _named(tenant_id: str, key: IdempotencyKey) -> dict[str, Any]:
    return {"tenant": tenant_id, "method": key.method, "key": key.key}
