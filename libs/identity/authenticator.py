"""Turns keys into principals, and ends the streams of keys that are revoked or expire."""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import structlog

from callboard.auth.v1 import auth_pb2
from libs.errors import Reason, ServiceError
from libs.identity.keys import hash_key, parse_key_id
from libs.identity.lookups import Lookups
from libs.identity.principal import KeyRecord, Principal

_log = structlog.get_logger(__name__)
_ROLES = {
    "viewer": auth_pb2.ROLE_VIEWER,
    "operator": auth_pb2.ROLE_OPERATOR,
    "admin": auth_pb2.ROLE_ADMIN,
}
# A revoked key is rejected after 2 s. Its streams end within 5 s: the period of the check, and the check itself.
_KNOWN_SECONDS = 2.0
_UNKNOWN_SECONDS = 1.0
_CHECK_SECONDS = 2.0
_REMEMBERED = 10_000
_LOOKUPS_AT_ONCE = 8

Lookup = Callable[[bytes], Awaitable[KeyRecord | None]]
"""Finds a key by its hash; raises ServiceError(DATABASE_UNAVAILABLE) when the database cannot be reached."""
Cut = Callable[[ServiceError], None]
"""Ends a stream with an error. It must not block or raise."""


class Authenticator:
    """Accepts keys that are stored, not revoked and not expired. It rejects keys that it cannot look up.

    Keep `run` running while streams are open: it ends the streams of keys that are no longer valid.
    """

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._lookups = Lookups[Principal](_REMEMBERED, _KNOWN_SECONDS, _UNKNOWN_SECONDS)
        self._watched: dict[bytes, set[Cut]] = {}
        self._expiries: dict[bytes, float | None] = {}

    async def authenticate(self, token: str) -> Principal:
        """Return the principal that the key belongs to.

        Raises ServiceError: CREDENTIALS_INVALID, or DATABASE_UNAVAILABLE when the key cannot be looked up.
        """
        if parse_key_id(token) is None:
            raise _invalid()
        key_hash = hash_key(token)
        principal = await self._lookups.get(key_hash, lambda: self._ask(key_hash))
        if principal is None or _is_over(principal.expires_at):
            raise _invalid()
        return principal

    @contextmanager
    def watch(self, principal: Principal, cut: Cut) -> Iterator[None]:
        """While the block lasts, call `cut` within 5 s after the key is revoked or expires."""
        cuts = self._watched.setdefault(principal.key_hash, set())
        cuts.add(cut)
        self._expiries[principal.key_hash] = principal.expires_at
        try:
            yield
        finally:
            cuts.discard(cut)
            if not cuts and self._watched.get(principal.key_hash) is cuts:
                del self._watched[principal.key_hash], self._expiries[principal.key_hash]

    async def run(self) -> None:
        """Check the keys of all open streams periodically, until cancelled."""
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            await self.check_watched()

    async def check_watched(self) -> None:
        """Look up each watched key and end the streams of keys that are no longer valid.

        The streams of a key that cannot be looked up continue, because no key can be revoked without the database.
        """
        slots = asyncio.Semaphore(_LOOKUPS_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for key_hash in list(self._watched):
                group.create_task(self._check(key_hash, slots))

    async def _check(self, key_hash: bytes, slots: asyncio.Semaphore) -> None:
        over = _is_over(self._expiries.get(key_hash))
        if not over:
            try:
                async with slots:
                    principal = await self._lookups.refresh(key_hash, lambda: self._ask(key_hash))
            except ServiceError as error:
                _log.warning("key_check_failed", reason=error.reason)
                return
            over = principal is None or _is_over(principal.expires_at)
        if over:
            for cut in list(self._watched.get(key_hash, ())):
                cut(_invalid())

    async def _ask(self, key_hash: bytes) -> Principal | None:
        record = await self._lookup(key_hash)
        if record is None or record.revoked or not hmac.compare_digest(record.key_hash, key_hash):
            return None
        expires_at = record.expires_at.timestamp() if record.expires_at else None
        return Principal(record.tenant_id, record.key_id, _ROLES[record.role], expires_at, key_hash)


def _is_over(expires_at: float | None) -> bool:
    return expires_at is not None and time.time() >= expires_at


def _invalid() -> ServiceError:
    """Return the same error for malformed, unknown, expired and revoked keys, so that it reveals no key."""
    return ServiceError(Reason.CREDENTIALS_INVALID, "the key is not valid")
