"""A runner's lease: renewed by each heartbeat, lost as soon as it may have expired."""

import asyncio
import time
from collections.abc import Callable
from uuid import UUID

import structlog

from libs.errors import ServiceError
from libs.failpoints import failpoint
from services.runner.leases.model import LeaseTerm
from services.runner.leases.ports import LeaseStore

_log = structlog.get_logger(__name__)


class LeaseLostError(Exception):
    """The lease was lost: the runner was declared dead or could not renew in time.

    This incarnation owns nothing any more and must not write anything.
    """


class Lease:
    """The lease of one incarnation of a runner. Durations are in seconds."""

    def __init__(self, runner_id: UUID, store: LeaseStore, length: float, heartbeat: float) -> None:
        self._runner_id = runner_id
        self._store = store
        self._term = LeaseTerm(length, heartbeat, time.monotonic())

    @property
    def in_doubt(self) -> bool:
        """Whether the last heartbeat failed. The runner pulls nothing while the database is unavailable (rule 7)."""
        return self._term.in_doubt

    @property
    def was_renewed(self) -> bool:
        """Whether a heartbeat has succeeded."""
        return self._term.was_renewed

    async def take(self, name: str, slots: int) -> None:
        """Register the runner with its first lease."""
        self._term.begin(time.monotonic())
        await self._store.register(self._runner_id, name, slots, self._term.length)

    async def renew(self, on_renewed: Callable[[], None]) -> None:
        """Renew the lease until cancelled. Raises LeaseLostError if the runner was declared dead."""
        while True:
            began = time.monotonic()
            try:
                failpoint("runner.before_heartbeat")
                if not await self._store.heartbeat(self._runner_id, self._term.length):
                    raise LeaseLostError("the runner was declared dead")
                self._term.renew(began)
                on_renewed()
            except ServiceError as error:
                self._term.doubt()
                _log.warning("heartbeat_failed", reason=error.reason, lease_left=self._term.left(began))
            await asyncio.sleep(self._term.pause)

    async def expire(self) -> None:
        """Raise LeaseLostError once the lease has expired, so that a runner that was paused stops its work at once.

        This is a separate timer because a heartbeat may wait for a long time.
        """
        while (left := self._term.left(time.monotonic())) > 0:  # noqa: ASYNC110 - it waits for time
            await asyncio.sleep(left)
        raise LeaseLostError("the lease expired before it was renewed")

    async def leave(self) -> None:
        """Give up the lease, so that whatever the runner still holds is freed at once."""
        try:
            await self._store.leave(self._runner_id)
        except ServiceError as error:
            _log.warning("leave_failed", runner_id=str(self._runner_id), reason=error.reason)
            return  # the reconciler frees what it held once the lease has expired
        _log.info("runner_left", runner_id=str(self._runner_id))
