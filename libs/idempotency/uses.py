"""Runs operations under a caller's key when operation and key are not one transaction."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from libs.errors import ServiceError
from libs.idempotency.errors import check_key
from libs.idempotency.model import IdempotencyKey, KeyCode, KeyState, Taken
from libs.idempotency.store import KeyStore


@contextlib.asynccontextmanager
async def idempotent(keys: KeyStore, tenant_id: str, key: IdempotencyKey | None, target: str) -> AsyncIterator[None]:
    """Run an operation on `target` that may safely run twice.

    A repeated call runs it again. The key only rejects a different request. If the operation raises ServiceError, the
    key is released.
    """
    if key is None:
        yield
        return
    taken = await keys.take(tenant_id, key, target)
    check_key(taken.code)
    try:
        yield
    except ServiceError:
        if taken.code == KeyCode.TAKEN:
            await keys.release(tenant_id, key, KeyState.DONE)
        raise


class LeasedUse:
    """One use of a key by an operation of several transactions. Without a key, nothing is stored.

    `plan` and `response` are those of an earlier use, or None.
    """

    def __init__(self, keys: KeyStore, tenant_id: str, key: IdempotencyKey | None, taken: Taken) -> None:
        self._keys = keys
        self._tenant_id = tenant_id
        self._key = key
        self.plan = taken.plan
        self.response = taken.response

    async def keep_plan(self, plan: str) -> str:
        """Store the plan before anything is done, and return the plan that is stored: the first one is kept."""
        return plan if self._key is None else await self._keys.keep_plan(self._tenant_id, self._key, plan)

    async def finish(self, response: str) -> str:
        """Store the response, and return the one that is stored: the first one is kept."""
        return response if self._key is None else await self._keys.finish(self._tenant_id, self._key, response)


@contextlib.asynccontextmanager
async def leased(keys: KeyStore, tenant_id: str, key: IdempotencyKey | None) -> AsyncIterator[LeasedUse]:
    """Lease a key to an operation of several transactions (concurrency, rule 8).

    If the block fails or is cancelled, the key is released, and the same call can continue at once with the stored
    plan. If the process dies, the call can continue when the lease has expired.
    """
    taken = Taken(KeyCode.TAKEN) if key is None else await keys.take(tenant_id, key)
    check_key(taken.code)
    try:
        yield LeasedUse(keys, tenant_id, key, taken)
    except BaseException:  # also a cancellation: a repeated call must not wait for the lease
        if key is not None and taken.code == KeyCode.TAKEN:
            with contextlib.suppress(ServiceError):  # the lease expires anyway
                await asyncio.shield(keys.release(tenant_id, key))
        raise
