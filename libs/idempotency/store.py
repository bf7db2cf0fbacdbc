"""Idempotency keys in Postgres."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from libs.db import Queries, load_statements
from libs.idempotency.model import IdempotencyKey, KeyCode, KeyState, Taken

_SQL = load_statements(Path(__file__).with_name("queries.sql"))

LEASE_SECONDS = 60.0
"""Longer than any call. It is also the longest time for which a key cannot be used after its holder died."""


class KeyStore(Protocol):
    """Stores for 24 hours which request a key was used with, and the response."""

    async def take(
        self, tenant_id: str, key: IdempotencyKey, response: str | None = None, lease: float = LEASE_SECONDS
    ) -> Taken:
        """Take a key. With a `response` the key is done at once; without one it is leased for `lease` seconds.

        When the lease has expired, the same request can take the key again, and gets its plan.
        """

    async def keep_plan(self, tenant_id: str, key: IdempotencyKey, plan: str) -> str:
        """Store the plan of a leased key, and return the plan that is stored: the first one is kept."""

    async def finish(self, tenant_id: str, key: IdempotencyKey, response: str) -> str:
        """Store the response for repeated calls, and return the one that is stored: the first one is kept."""

    async def release(self, tenant_id: str, key: IdempotencyKey, taken_as: KeyState = KeyState.RUNNING) -> None:
        """Release a key. `taken_as` is `running` for a key that was taken without a response, `done` with one.

        A key with a plan keeps the plan, and its lease ends. Any other key is deleted.
        """


@dataclass(frozen=True, slots=True)
class _Row:
    code: KeyCode
    plan: str | None
    response: str | None


class PostgresKeys:
    """Keys in Postgres. Each call is its own transaction, or part of the transaction of `queries`."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def take(
        self, tenant_id: str, key: IdempotencyKey, response: str | None = None, lease: float = LEASE_SECONDS
    ) -> Taken:
        """Take a key. With a `response` the key is done at once; without one it is leased for `lease` seconds."""
        values = {**_named(tenant_id, key), "hash": key.hash, "response": response, "lease": lease}
        (row,) = await self._queries.records(_Row, _SQL["take"], values)
        return Taken(row.code, row.plan, row.response)

    async def keep_plan(self, tenant_id: str, key: IdempotencyKey, plan: str) -> str:
        """Store the plan of a leased key, and return the plan that is stored: the first one is kept."""
        (kept,) = await self._queries.values(_SQL["keep_plan"], {**_named(tenant_id, key), "plan": plan})
        return plan if kept is None else str(kept)

    async def finish(self, tenant_id: str, key: IdempotencyKey, response: str) -> str:
        """Store the response for repeated calls, and return the one that is stored: the first one is kept."""
        (kept,) = await self._queries.values(_SQL["finish"], {**_named(tenant_id, key), "response": response})
        return response if kept is None else str(kept)  # no row: the key expired meanwhile

    async def release(self, tenant_id: str, key: IdempotencyKey, taken_as: KeyState = KeyState.RUNNING) -> None:
        """Release a key. `taken_as` is `running` for a key that was taken without a response, `done` with one."""
        await self._queries.values(_SQL["release"], {**_named(tenant_id, key), "state": taken_as.value})

    async def leave_note(self, tenant_id: str, method: str, key: str, note: str) -> str | None:
        """Store a note (JSON text) for the first use of a key. Returns the response of a key that was used before."""
        values = {"tenant": tenant_id, "method": method, "key": key, "note": note}
        (response,) = await self._queries.values(_SQL["leave_note"], values)
        return None if response is None else str(response)

    async def forget_expired(self) -> None:
        """Delete expired keys."""
        await self._queries.values(_SQL["forget_expired"])


def _named(tenant_id: str, key: IdempotencyKey) -> dict[str, Any]:
    return {"tenant": tenant_id, "method": key.method, "key": key.key}
