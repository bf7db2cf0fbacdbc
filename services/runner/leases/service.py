"""A runner's lease: renewed at every heartbeat, and over as soon as it may have lapsed."""

import asyncio
import time
from collections.abc import Callable
from uuid import UUID

import structlog

from libs.errors import ServiceError
from libs.failpoints import failpoint
from services.runner.leases.ports import LeaseStore

_log = structlog.get_logger(__name__)


class LeaseLostError(Exception):
    """The lease is gone: declared dead, or slept through it. This incarnation owns nothing and writes nothing more."""


class Lease:
    """The lease of one incarnation of a runner. Spans are in seconds.

    The database's clock says who is dead; here only spans are measured (failures, row 21).
    """

    def __init__(self, runner_id: UUID, store: LeaseStore, length: float, heartbeat: float) -> None:
        self._runner_id = runner_id
        self._store = store
        self._length = length
        self._heartbeat = heartbeat
        self._renewed = time.monotonic()
        self.in_doubt = False
        """Whether the last heartbeat failed. Nothing is pulled while the database is away (rule 7)."""
        self.was_renewed = False

    async def take(self, name: str, slots: int) -> None:
        """Enter the runner, with its first lease."""
        self._renewed = time.monotonic()
        await self._store.register(self._runner_id, name, slots, self._length)

    async def renew(self, on_renewed: Callable[[], None]) -> None:
        """Renew the lease until cancelled. Raises LeaseLostError when the runner was declared dead."""
        while True:
            began = time.monotonic()
            try:
                failpoint("runner.before_heartbeat")
                if not await self._store.heartbeat(self._runner_id, self._length):
                    raise LeaseLostError("declared dead")
                self._renewed, self.in_doubt, self.was_renewed = began, False, True
                on_renewed()
            except ServiceError as error:
                self.in_doubt = True
                lease_left = self._length - (began - self._renewed)
                _log.warning("heartbeat_failed", reason=error.reason, lease_left=lease_left)
            await asyncio.sleep(self._heartbeat / 4 if self.in_doubt else self._heartbeat)

    async def expire(self) -> None:
        """Raise LeaseLostError when the lease is over: a runner that slept through it stops at once what it runs.

        A timer of its own, and the first thing that a paused runner meets: a heartbeat may wait for long.
        """
        while (left := self._renewed + self._length - time.monotonic()) > 0:  # noqa: ASYNC110 - it waits for time
            await asyncio.sleep(left)
        raise LeaseLostError("the lease lapsed before it could be renewed")

    async def leave(self) -> None:
        """Give the lease up, so that what the runner still holds is free at once."""
        try:
            await self._store.leave(self._runner_id)
        except ServiceError as error:
            _log.warning("leave_unsettled", runner_id=str(self._runner_id), reason=error.reason)
            return  # what it held is freed when its lease lapses
        _log.info("runner_left", runner_id=str(self._runner_id))
