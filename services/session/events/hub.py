"""The hub: one tail for each partition that this replica's readers follow."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from libs.errors import Reason, ServiceError
from libs.failpoints import failpoint
from libs.telemetry.readings import Readings
from services.session.events.ports import EventStore, NotificationSource
from services.session.events.subscriber import Subscriber
from services.session.events.tail import Tail

_log = structlog.get_logger(__name__)
_CHECK_EVERY = 1.0  # seconds


class Hub:
    """Shares one tail of each partition between all of its readers."""

    def __init__(self, store: EventStore, notifications: NotificationSource) -> None:
        self._store = store
        self._notifications = notifications
        self._tails: dict[tuple[str, int], asyncio.Task[Tail]] = {}
        self._unsubscribe: dict[tuple[str, int], Callable[[], Awaitable[None]]] = {}
        self._closed = False

    @asynccontextmanager
    async def attached(self, tenant_id: str, partition: int, scope: str) -> AsyncIterator[Subscriber]:
        """Attach to a scope. Events from now on are delivered; earlier ones are in storage.

        Raises ServiceError SHUTTING_DOWN.
        """
        tail = await self._tail(tenant_id, partition)
        subscriber = Subscriber()
        if self._closed:
            raise ServiceError(Reason.SHUTTING_DOWN, "the server is shutting down; resume elsewhere")
        tail.attach(scope, subscriber)
        try:
            yield subscriber
        finally:
            tail.detach(scope, subscriber)

    @property
    def followed(self) -> dict[str, int]:
        """The number of followed partitions, and of their readers."""
        tails = self._followed_tails()
        return {"partitions": len(tails), "readers": sum(len(tail.subscribers) for tail in tails.values())}

    def measure(self, readings: Readings) -> None:
        """Expose what is followed."""
        readings.gauge(
            "callboard_followed", "Partitions that are followed live, and their readers", "kind", lambda: self.followed
        )

    def _followed_tails(self) -> dict[tuple[str, int], Tail]:
        """Return the tails that have begun."""
        return {key: task.result() for key, task in self._tails.items() if task.done() and not _has_failed(task)}

    async def _tail(self, tenant_id: str, partition: int) -> Tail:
        task = self._tails.get((tenant_id, partition))
        if task is None or _has_failed(task):
            task = asyncio.get_running_loop().create_task(self._begin(tenant_id, partition), name=f"tail {partition}")
            self._tails[tenant_id, partition] = task
        return await asyncio.shield(task)

    async def _begin(self, tenant_id: str, partition: int) -> Tail:
        tail = Tail(tenant_id, partition, self._store)
        # Subscribe first, then read the position, so that a notification reports every commit in between.
        unsubscribe = await self._notifications.subscribe(tenant_id, partition, tail.on_notification)
        try:
            failpoint("hub.after_subscribe_before_position")
            log = await self._store.log(tenant_id, partition)
        except BaseException:
            await unsubscribe()
            raise
        self._unsubscribe[tenant_id, partition] = unsubscribe
        tail.begin(log.position)
        return tail

    async def watch(self) -> None:
        """Check every second whether a tail has missed a notification, and drop the tails without readers."""
        idle: set[tuple[str, int]] = set()
        while True:
            await asyncio.sleep(_CHECK_EVERY)
            tails = self._followed_tails()
            for key in [key for key in idle if key in tails and tails[key].is_idle]:
                await self._drop(key, tails.pop(key))
            idle = {key for key, tail in tails.items() if tail.is_idle}
            followed = [key for key in tails if key not in idle]
            if not followed:
                continue
            try:
                positions = await self._store.positions(followed)
            except ServiceError as error:
                _log.warning("tail_check_failed", reason=error.reason)
                continue
            for key, position in positions.items():
                tails[key].check(position)

    async def _drop(self, key: tuple[str, int], tail: Tail) -> None:
        del self._tails[key]
        tail.stop()
        await self._unsubscribe.pop(key)()

    def close(self) -> None:
        """End every subscription. The streams end with an error that holds the cursor to resume from."""
        self._closed = True
        for tail in self._followed_tails().values():
            for subscriber in tail.subscribers:
                subscriber.close()


def _has_failed(task: asyncio.Task[Tail]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
