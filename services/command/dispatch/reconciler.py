"""The reconciler: brings database and stream back into agreement after faults, and recovers from dead runners."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import orjson
import structlog

from libs.attempts import (
    Failure,
    FailureCode,
    Finish,
    GiveUp,
    Outcome,
    RetryPolicy,
    decide,
    ended_by,
)
from libs.errors import ServiceError
from libs.failpoints import failpoint
from libs.notifications import Notifier
from services.command.dispatch.ports import (
    Broker,
    BrokerAwayError,
    DeliveryStore,
    ExpiredLease,
)

_log = structlog.get_logger(__name__)

_PASS_SECONDS = 1.0
_ACTOR = "callboard:reconciler"


class Reconciler:
    """Runs in every replica of the command service. Each step may run twice, also in two replicas at once."""

    def __init__(self, store: DeliveryStore, broker: Broker, notifier: Notifier, *, lease: float) -> None:
        self._store = store
        self._broker = broker
        self._notifier = notifier
        self._lease = lease
        self._random = random.Random()  # noqa: S311 - jitter
        self._sound_since: float | None = None
        self._last_pass = 0.0

    async def run(self) -> None:
        """Run passes until cancelled."""
        while True:
            await self._pass(self._database_pass)
            await self._pass(self._broker_pass)
            await asyncio.sleep(_PASS_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - jitter

    async def _pass(self, run: Callable[[], Awaitable[None]]) -> None:
        try:
            await run()
        except ServiceError as error:
            self._sound_since = None
            _log.warning("reconcile_failed", reason=error.reason)
        except BrokerAwayError as error:
            _log.warning("broker_away", error=str(error))

    async def _database_pass(self) -> None:
        """Recover the connections and commands of dead runners.

        Runners are marked dead only after uninterrupted passes for one lease: when the database or the reconciler was
        paused, live runners could not renew their leases (rule 7).
        """
        now = time.monotonic()
        if self._sound_since is None or now - self._last_pass > self._lease / 2 + _PASS_SECONDS:
            self._sound_since = now
        self._last_pass = now
        if now - self._sound_since >= self._lease:
            for runner_id, name in await self._store.mark_runners_dead():
                _log.warning("runner_dead", runner_id=str(runner_id), name=name)
                failpoint("reconciler.after_mark_dead_before_expiry")
        # Connections come first: otherwise their commands would be dispatched to the dead runners again.
        if await self._store.free_connections():
            failpoint("reconciler.after_freeing_before_notification")
            self._notifier.connections_wanted()
        for lease in await self._store.expired():
            await self._expire(lease)
            failpoint("reconciler.between_expiries")
        for lease in await self._store.overdue_cancels():
            await self._store.finish(lease.tenant_id, lease.partition, _cancelled(lease))
            self._notifier.runner_has_work(lease.runner_id)
        await self._store.orphaned()
        await self._store.forget()

    async def _expire(self, lease: ExpiredLease) -> None:
        failure = Failure(FailureCode.LEASE_EXPIRED, f"runner {lease.runner_id} stopped renewing its lease", True)
        policy = RetryPolicy(lease.max_attempts, lease.backoff_ms, lease.max_backoff_ms)
        decision = decide(failure, policy, charged=lease.charged, released=lease.released, draw=self._random)
        finish = ended_by(failure, decision, lease.command_id, lease.lease_token, lease.attempt, _ACTOR)
        state = await self._store.finish(lease.tenant_id, lease.partition, finish)
        _log.info(
            "lease_expired",
            command_id=str(lease.command_id),
            state=state,
            dead=isinstance(decision, GiveUp),
        )

    async def _broker_pass(self) -> None:
        """Make dispatches due again that the stream will not deliver (failures, row 2), and publish dead letters."""
        epoch = await self._broker.ensure()
        for runner_id, priority in await self._store.published_to():
            position = await self._broker.position(runner_id, priority)
            upto = position.undeliverable if position is not None else 0
            again = await self._store.undelivered(runner_id, priority, epoch, upto)
            if again:
                failpoint("reconciler.after_redispatch_before_notification")
                _log.info("dispatched_again", runner_id=str(runner_id), priority=priority, commands=again)
                self._notifier.commands_waiting()
        dead_letters = await self._store.unpublished_dead_letters()
        if dead_letters:
            published = await self._broker.publish_dead_letters(dead_letters)
            failpoint("reconciler.after_dead_letters_before_mark")
            await self._store.mark_dead_letters_published(published)
        await self._broker.trim()


def _cancelled(lease: ExpiredLease) -> Finish:
    event = orjson.dumps({"attempt": lease.attempt, "forced": True}).decode()
    return Finish(lease.command_id, lease.lease_token, Outcome.CANCELLED, _ACTOR, event, charged=False)
