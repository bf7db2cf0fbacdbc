"""The dispatcher: hands committed commands to the broker, in the background (concurrency, rule 6).

What is to be published stands in `command.ready` since the commit, so it is neither lost nor told of too early,
wherever a process dies (failures, row 1).
"""

import asyncio
import time
from collections import Counter, defaultdict, deque
from collections.abc import Sequence

import structlog

from libs.dispatches import PRIORITIES
from libs.errors import ServiceError
from libs.failpoints import failpoint
from libs.telemetry.tasks import TaskWatch
from services.command.dispatch.model import Dispatch
from services.command.dispatch.ports import (
    Broker,
    BrokerAwayError,
    DeliveryStore,
    Published,
)

_log = structlog.get_logger(__name__)

MAX_IN_FLIGHT = 1000
"""DispatchQueue of one tenant and priority that stand in the stream at once; the others wait in the database."""
_EACH = 100
_LIMIT = 500
_LOOK_EVERY = 1.0
_BUSY_PAUSE = 0.02
_MARK_AFTER = 0.1  # by then most are claimed, and there is nothing left to mark
_OFFERED_SECONDS = 0.9  # a second after its submit a command is due, and some replica's round takes it

_Key = tuple[str, int]


def _key(dispatch: Dispatch) -> _Key:
    return dispatch.tenant_id, dispatch.priority


class Dispatcher:
    """Publishes what submits enqueue at once, and what else is due in rounds. Every replica runs one; no leader."""

    def __init__(self, store: DeliveryStore, broker: Broker) -> None:
        self._store = store
        self._broker = broker
        self._enqueued: defaultdict[_Key, deque[tuple[float, Dispatch]]] = defaultdict(deque)
        self._work = asyncio.Event()
        self._look = asyncio.Event()
        self._in_flight: Counter[_Key] = Counter()
        self._unmarked: list[Published] = []

    def enqueue(self, dispatches: Sequence[Dispatch]) -> None:
        """Publish fresh commands soon: at once, or when fewer of their tenant and priority stand in the stream."""
        now = time.monotonic()
        for dispatch in dispatches:
            self._enqueued[_key(dispatch)].append((now, dispatch))
        if dispatches:
            self._work.set()

    def start(self, tasks: TaskWatch) -> None:
        """Start what runs as long as the process does."""
        tasks.start("enqueued", self.publish_enqueued())
        tasks.start("marks", self.mark_published())
        tasks.start("dispatch", self.rounds())

    @property
    def in_flight(self) -> dict[str, int]:
        """How many dispatches stand in the stream, by priority, as of the last round."""
        totals: Counter[str] = Counter()
        for (_, priority), count in self._in_flight.items():
            totals[PRIORITIES[priority]] += count
        return dict(totals)

    def look(self) -> None:
        """Look for due commands now: somebody says that there may be some."""
        self._look.set()

    async def publish_enqueued(self) -> None:
        """Publish what was enqueued, as long as the process runs."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self._enqueued:
                if batch := self._taken():
                    self._unmarked += await self._broker.publish(batch)
                    failpoint("dispatcher.after_enqueued_published")
                else:  # as many stand as may: see how many of them were claimed
                    await asyncio.sleep(_BUSY_PAUSE)
                    try:
                        await self._count()
                    except ServiceError as error:
                        _log.warning("in_flight_unknown", reason=error.reason)

    def _taken(self) -> list[Dispatch]:
        """Take what may be published now of what was enqueued."""
        taken: list[Dispatch] = []
        too_late = time.monotonic() - _OFFERED_SECONDS
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
        """Count what stands in the stream: what is marked so, and what this replica has not marked yet."""
        in_flight = Counter(await self._store.in_flight())
        in_flight.update(_key(published.dispatch) for published in self._unmarked)
        self._in_flight = in_flight

    async def mark_published(self) -> None:
        """Remember, a little later, where dispatches lie that nobody has claimed yet."""
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
        """Publish what is due: retries, schedules, what was not enqueued, and what the reconciler gave back."""
        while True:
            try:
                pause = await self._round()
            except ServiceError as error:
                _log.warning("dispatch_round_failed", reason=error.reason)
                pause = _LOOK_EVERY
            try:
                async with asyncio.timeout(pause):
                    await self._look.wait()
            except TimeoutError:
                continue

    async def _round(self) -> float:
        """Publish one portion; return for how many seconds nothing more is due."""
        self._look.clear()
        await self._count()
        due = await self._store.due(_EACH, _LIMIT)
        room = []
        for dispatch in due:
            if self._in_flight[_key(dispatch)] < MAX_IN_FLIGHT:
                self._in_flight[_key(dispatch)] += 1
                room.append(dispatch)
        if room:
            failpoint("dispatcher.after_due_before_publish")
            try:
                published = await self._broker.publish(room)
            except BrokerAwayError:
                return _LOOK_EVERY
            failpoint("dispatcher.after_publish_before_mark")
            await self._store.mark(published)
            _log.debug("dispatched", due=len(due), published=len(published))
            return _BUSY_PAUSE
        upcoming = await self._store.next_due()
        return min(_LOOK_EVERY, upcoming) if upcoming is not None else _LOOK_EVERY
