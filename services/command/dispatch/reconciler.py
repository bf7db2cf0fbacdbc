"""The reconciler: makes the database and the stream agree after anything, and takes from the dead what they held."""

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

_EVERY = 1.0
_ACTOR = "callboard:reconciler"


class Reconciler:
    """Runs in every replica of the command service; all of its steps may be done twice, by two of them at once."""

    def __init__(self, store: DeliveryStore, broker: Broker, notifier: Notifier, *, lease: float) -> None:
        self._store = store
        self._broker = broker
        self._notifier = notifier
        self._lease = lease
        self._random = random.Random()  # noqa: S311 - jitter
        self._sound_since: float | None = None
        self._last_pass = 0.0

    async def run(self) -> None:
        """Pass after pass, as long as the process runs."""
        while True:
            await self._pass(self._database_pass)
            await self._pass(self._broker_pass)
            await asyncio.sleep(_EVERY * random.uniform(0.8, 1.2))  # noqa: S311 - jitter

    async def _pass(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except ServiceError as refusal:
            self._sound_since = None
            _log.warning("reconcile_failed", reason=refusal.reason)
        except BrokerAwayError as error:
            _log.warning("broker_away", error=str(error))

    async def _database_pass(self) -> None:
        """Take what dead runners held. Runners are declared dead only after one lease of uninterrupted passes: a
        database, or a reconciler, that was paused is not dead runners (rule 7)."""
        now = time.monotonic()
        if self._sound_since is None or now - self._last_pass > self._lease / 2 + _EVERY:
            self._sound_since = now
        self._last_pass = now
        if now - self._sound_since >= self._lease:
            for runner_id, name in await self._store.mark_runners_dead():
                _log.warning("runner_lapsed", runner_id=str(runner_id), name=name)
                failpoint("reconciler.after_mark_dead_before_expiry")
        # Before their commands, which would be dispatched to the dead once more.
        if await self._store.free_connections():
            failpoint("reconciler.after_freeing_before_notification")
            self._notifier.connections_wanted()
        for stray in await self._store.expired():
            await self._expire(stray)
            failpoint("reconciler.between_expiries")
        for stray in await self._store.overdue_cancels():
            await self._store.finish(stray.tenant_id, stray.partition, _cancelled(stray))
            self._notifier.runner_asked(stray.runner_id)
        await self._store.orphaned()
        await self._store.forget()

    async def _expire(self, stray: ExpiredLease) -> None:
        failure = Failure(FailureCode.LEASE_EXPIRED, f"runner {stray.runner_id} stopped renewing its lease", True)
        policy = RetryPolicy(stray.max_attempts, stray.backoff_ms, stray.max_backoff_ms)
        decision = decide(failure, policy, charged=stray.charged, released=stray.released, draw=self._random)
        finish = ended_by(failure, decision, stray.command_id, stray.lease_token, stray.attempt, _ACTOR)
        state = await self._store.finish(stray.tenant_id, stray.partition, finish)
        _log.info(
            "lease_expired",
            command_id=str(stray.command_id),
            state=state,
            dead=isinstance(decision, GiveUp),
        )

    async def _broker_pass(self) -> None:
        """Have dispatched again what the stream cannot deliver any more (failures, row 2), and publish dead letters."""
        epoch = await self._broker.ensure()
        for runner_id, priority in await self._store.published_to():
            place = await self._broker.place(runner_id, priority)
            upto = place.undeliverable if place is not None else 0
            again = await self._store.undelivered(runner_id, priority, epoch, upto)
            if again:
                failpoint("reconciler.after_redispatch_before_notification")
                _log.info("dispatched_again", runner_id=str(runner_id), priority=priority, commands=again)
                self._notifier.commands_waiting()
        letters = await self._store.letters()
        if letters:
            published = await self._broker.publish_letters(letters)
            failpoint("reconciler.after_dead_letters_before_mark")
            await self._store.mark_published_letters(published)
        await self._broker.trim()


def _cancelled(stray: ExpiredLease) -> Finish:
    event = orjson.dumps({"attempt": stray.attempt, "forced": True}).decode()
    return Finish(stray.command_id, stray.lease_token, "cancelled", _ACTOR, event, charged=False)
