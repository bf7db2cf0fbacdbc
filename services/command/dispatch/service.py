"""The dispatcher: publishes committed commands to the broker in the background (concurrency, rule 6).

The commit that stores a command also writes it to `command.ready`. So a dispatch is neither lost nor published too
early, wherever a process dies (failures, row 1).
"""

import asyncio
import time
from collections import Counter, defaultdict, deque
from collections.abc import Sequence

import structlog

from libs.dispatches import PRIORITIES
from libs.errors import ServiceError
from libs.failpoints import failpoint
from libs.telemetry.readings import Readings
from libs.telemetry.tasks import TaskWatch
from services.command.dispatch.model import Dispatch
from services.command.dispatch.ports import (
    Broker,
    DeliveryStore,
    Published,
)

_log = structlog.get_logger(__name__)

MAX_IN_FLIGHT = 1000
"""The most dispatches of one tenant and priority in the stream. The others wait in the database."""
_EACH = 100
_LIMIT = 500
_ROUND_SECONDS = 1.0
_BUSY_PAUSE = 0.02
_MARK_AFTER = 0.1  # seconds; by then most dispatches are claimed and need no mark
_ENQUEUED_SECONDS = 0.9  # a second after its submit a command is due, and a round of some replica takes it

_Key = tuple[str, int]


def _key(dispatch: Dispatch) -> _Key:
    return dispatch.tenant_id, dispatch.priority


class Dispatcher:
    """Publishes the dispatches of submits at once, and everything else that is due in rounds.

    Every replica runs a dispatcher. There is no leader.
    """

    def __init__(self, store: DeliveryStore, broker: Broker) -> None:
        self._store = store
        self._broker = broker
        self._enqueued: defaultdict[_Key, deque[tuple[float, Dispatch]]] = defaultdict(deque)
        self._has_enqueued = asyncio.Event()
        self._wake = asyncio.Event()
        self._in_flight: Counter[_Key] = Counter()
        self._unmarked: list[Published] = []

    def enqueue(self, dispatches: Sequence[Dispatch]) -> None:
        """Publish new commands at once, or as soon as fewer of their tenant and priority are in the stream."""
        now = time.monotonic()
        for dispatch in dispatches:
            self._enqueued[_key(dispatch)].append((now, dispatch))
        if dispatches:
            self._has_enqueued.set()

    def start(self, tasks: TaskWatch) -> None:
        """Start the background tasks."""
        tasks.start("enqueued", self.publish_enqueued())
        tasks.start("marks", self.mark_published())
        tasks.start("dispatch", self.rounds())

    def measure(self, readings: Readings) -> None:
        """Expose what is in the stream."""
        readings.gauge(
            "callboard_dispatches_in_flight",
            "Dispatches in the stream that no runner has claimed",
            "priority",
            lambda: self.in_flight,
        )

    @property
    def in_flight(self) -> dict[str, int]:
        """The number of dispatches in the stream, by priority, as of the last round."""
        totals: Counter[str] = Counter()
        for (_, priority), count in self._in_flight.items():
            totals[PRIORITIES[priority]] += count
        return dict(totals)

    def wake(self) -> None:
        """Start a round now: commands may have become due."""
        self._wake.set()

    async def publish_enqueued(self) -> None:
        """Publish what submits enqueue, until cancelled."""
        while True:
            await self._has_enqueued.wait()
            self._has_enqueued.clear()
            while self._enqueued:
                if batch := self._taken():
                    self._unmarked += await self._broker.publish(batch)
                    failpoint("dispatcher.after_enqueued_published")
                else:  # the limits are reached: count again how many are claimed
                    await asyncio.sleep(_BUSY_PAUSE)
                    try:
                        await self._count()
                    except ServiceError as error:
                        _log.warning("in_flight_unknown", reason=error.reason)

    def _taken(self) -> list[Dispatch]:
        """Take the enqueued dispatches that the limits allow now."""
        taken: list[Dispatch] = []
        too_late = time.monotonic() - _ENQUEUED_SECONDS
        for key, queue in list(self._enqueued.items()):
            while queue and queue[0][0] < too_late:
                queue.popleft()
            room = max(0, min(MAX_IN_FLIGHT - self._in_flight[key], _LIMIT - len(taken), len(queue)))
            taken += [queue.popleft()[1] for _ in range(room)]
            self._in_flight[key] += room
            if not queue:
                del self._enqueued[key]
        return taken

    async def _count(self) -> None:
        """Count the dispatches in the stream: those that are marked, and those that this replica has not marked yet."""
        in_flight = Counter(await self._store.in_flight())
        in_flight.update(_key(published.dispatch) for published in self._unmarked)
        self._in_flight = in_flight

    async def mark_published(self) -> None:
        """Record the sequences of published dispatches after a short delay, until cancelled.

        By then most are claimed.
        """
        while True:
            await asyncio.sleep(_MARK_AFTER)
            batch, self._unmarked = self._unmarked, []
            if batch:
                try:
                    failpoint("dispatcher.before_enqueued_marked")
                    await self._store.mark(batch)
                except ServiceError as error:
                    _log.warning("mark_failed", reason=error.reason, dispatches=len(batch))

    async def rounds(self) -> None:
        """Publish what is due, until cancelled: retries, scheduled commands, and dispatches that were lost."""
        while True:
            try:
                pause = await self._round()
            except ServiceError as error:
                _log.warning("dispatch_round_failed", reason=error.reason)
                pause = _ROUND_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _round(self) -> float:
        """Publish one batch, and return the seconds until the next round."""
        self._wake.clear()
        await self._count()
        due = await self._store.due(_EACH, _LIMIT)
        room = []
        for dispatch in due:
            if self._in_flight[_key(dispatch)] < MAX_IN_FLIGHT:
                self._in_flight[_key(dispatch)] += 1
                room.append(dispatch)
        if room:
            failpoint("dispatcher.after_due_before_publish")
            published = await self._broker.publish(room)
            failpoint("dispatcher.after_publish_before_mark")
            await self._store.mark(published)
            _log.debug("dispatched", due=len(due), published=len(published))
            return _BUSY_PAUSE
        upcoming = await self._store.next_due()
        return min(_ROUND_SECONDS, upcoming) if upcoming is not None else _ROUND_SECONDS
