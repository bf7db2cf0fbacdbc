"""Idempotency keys of operations that take several transactions: leased while they run (concurrency, rule 8)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from libs.errors import Reason, ServiceError
from services.command.commands.model import KeyCode
from services.command.commands.ports import BatchKeyStore

LEASE_SECONDS = 60.0
"""Longer than a call lives; who dies meanwhile keeps its key from being used again for so long at most."""


def check_key(code: str) -> None:
    """Refuse a key that was used with another request, or whose first use still runs."""
    if code == KeyCode.REUSED:
        raise ServiceError(Reason.IDEMPOTENCY_KEY_REUSED, "this idempotency key was used with another request")
    if code == KeyCode.IN_USE:
        raise ServiceError(Reason.IDEMPOTENCY_KEY_IN_USE, "the first request with this idempotency key still runs")


@contextlib.asynccontextmanager
async def leased(keys: BatchKeyStore, tenant_id: str, key: str) -> AsyncIterator[None]:
    """Give the key back when the block fails, or its caller goes away: the same call may go on at once."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(ServiceError):  # the lease lapses by itself
            await asyncio.shield(keys.give_back(tenant_id, key))
        raise
