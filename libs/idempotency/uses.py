"""The two ways to run an operation under a caller's key that is not one transaction with it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from libs.errors import ServiceError
from libs.idempotency.errors import check_key
from libs.idempotency.model import IdempotencyKey, KeyCode, KeyState, Taken
from libs.idempotency.store import KeyStore


@contextlib.asynccontextmanager
async def idempotent(keys: KeyStore, tenant_id: str, key: IdempotencyKey | None, target: str) -> AsyncIterator[None]:
    """Run an operation that has the same result when it is done twice, on what `target` names.

    A repeated call runs it again. The key only holds the caller to one request; an operation that is rejected gives it
    back.
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
    """One use of a key by an operation of several transactions, or of no key: then nothing is stored.

    `response` is the answer of a use before, `plan` what one before chose; None where there is none.
    """

    def __init__(self, keys: KeyStore, tenant_id: str, key: IdempotencyKey | None, taken: Taken) -> None:
        self._keys = keys
        self._tenant_id = tenant_id
        self._key = key
        self.plan = taken.plan
        self.response = taken.response

    async def keep_plan(self, plan: str) -> str:
        """Store what the key stands for, before anything is done; the first plan stays, and is returned."""
        return plan if self._key is None else await self._keys.keep_plan(self._tenant_id, self._key, plan)

    async def finish(self, response: str) -> str:
        """Store the answer; the first one stays, and is returned."""
        return response if self._key is None else await self._keys.finish(self._tenant_id, self._key, response)


@contextlib.asynccontextmanager
async def leased(keys: KeyStore, tenant_id: str, key: IdempotencyKey | None) -> AsyncIterator[LeasedUse]:
    """Lease a key to an operation of several transactions (concurrency, rule 8).

    When the block fails, or its caller goes away, the key is given back: the same call may go on at once, with the plan
    that was stored. When the process dies, it may once the lease is over.
    """
    taken = Taken(KeyCode.TAKEN) if key is None else await keys.take(tenant_id, key)
    check_key(taken.code)
    try:
        yield LeasedUse(keys, tenant_id, key, taken)
    except BaseException:  # a cancellation too: the same call must not wait for the lease
        if key is not None and taken.code == KeyCode.TAKEN:
            with contextlib.suppress(ServiceError):  # the lease ends by itself
                await asyncio.shield(keys.release(tenant_id, key))
        raise
