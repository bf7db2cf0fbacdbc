"""The live tail of one log partition: delivers every position once, in order, to the attached readers."""

import asyncio

import structlog

from libs.errors import ServiceError
from libs.failpoints import failpoint
from services.session.events.model import Event, events_of_lines
from services.session.events.ports import EventStore
from services.session.events.subscriber import Batch, Subscriber

_log = structlog.get_logger(__name__)
_PAGE = 500
_PAGE_BYTES = 4 * 1024 * 1024
_PATIENCE = 0.005  # seconds that an out-of-order notification waits for the one before it (rule 14)
_HELD = 256


class Tail:
    """Follows a partition by its notifications. It reads the database only to fill gaps."""

    def __init__(self, tenant_id: str, partition: int, store: EventStore) -> None:
        self.tenant_id = tenant_id
        self.partition = partition
        self.next = 0
        """The position to deliver next; 0 until the tail has begun."""
        self._store = store
        self._known = 0
        self._held: dict[int, tuple[int, bytes]] = {}
        self._scopes: dict[str, set[Subscriber]] = {}
        self._filling: asyncio.Task[None] | None = None

    def begin(self, position: int) -> None:
        """Begin after `position`, which was read after the subscription to notifications began."""
        self.next = position + 1
        self._known = max(self._known, position)
        self._drain_held()
        self._fill_soon(0.0)

    @property
    def is_idle(self) -> bool:
        """Whether no reader is attached."""
        return not self._scopes

    @property
    def subscribers(self) -> set[Subscriber]:
        """All attached readers."""
        return {subscriber for group in self._scopes.values() for subscriber in group}

    def attach(self, scope: str, subscriber: Subscriber) -> None:
        """Deliver the events of `scope` (a session's uid or an agent's id) to the subscriber from `next` on."""
        self._scopes.setdefault(scope, set()).add(subscriber)

    def detach(self, scope: str, subscriber: Subscriber) -> None:
        """Stop delivering to the subscriber."""
        group = self._scopes[scope]
        group.discard(subscriber)
        if not group:
            del self._scopes[scope]

    def on_notification(self, first: int, last: int, lines: bytes) -> None:
        """Handle a notification: deliver its events if they are next, otherwise hold them or read the missing ones."""
        self._known = max(self._known, last)
        if not self.next or last < self.next:
            if not self.next:
                self._hold(first, last, lines)
            return
        if first == self.next and lines and self._filling is None:
            self._deliver(events_of_lines(lines))
            self._drain_held()
        else:
            self._hold(first, last, lines)
        if self._known >= self.next:
            self._fill_soon(_PATIENCE if first > self.next else 0.0)

    def check(self, position: int) -> None:
        """Handle the partition's last position, which a periodic check reads in case notifications were lost."""
        self._known = max(self._known, position)
        if self.next and self._known >= self.next:
            self._fill_soon(0.0)

    def stop(self) -> None:
        """Stop reading. Attached readers get no further events."""
        if self._filling is not None:
            self._filling.cancel()

    def _hold(self, first: int, last: int, lines: bytes) -> None:
        if lines and len(self._held) < _HELD:
            self._held[first] = (last, lines)

    def _drain_held(self) -> None:
        while self._held:
            held = self._held.pop(self.next, None)
            if held is None:
                break
            self._deliver(events_of_lines(held[1]))
        if self._held:
            self._held = {first: held for first, held in self._held.items() if first > self.next}

    def _fill_soon(self, patience: float) -> None:
        if self._filling is None and self._known >= self.next:
            self._filling = asyncio.get_running_loop().create_task(self._fill(patience), name=f"fill {self.partition}")

    async def _fill(self, patience: float) -> None:
        """Read the events that the notifications did not carry, once for all subscribers."""
        try:
            if patience:
                await asyncio.sleep(patience)
                self._drain_held()
            while self._known >= self.next:
                events = await self._store.of_partition(
                    self.tenant_id, self.partition, self.next - 1, self._known, _PAGE, _PAGE_BYTES
                )
                if not events:
                    break
                failpoint("tail.after_read_before_deliver")
                self._deliver(events)
                self._drain_held()
        except ServiceError as error:  # the periodic check tries again
            _log.warning("tail_read_failed", tenant=self.tenant_id, partition=self.partition, reason=error.reason)
        finally:
            self._filling = None

    def _deliver(self, events: list[Event]) -> None:
        """Deliver events that begin at `next`."""
        self.next = events[-1].position + 1
        by_scope: dict[str, Batch] = {}
        for event in events:
            for scope in (event.session_uid, event.agent_id):
                if scope in self._scopes:
                    batch = by_scope.get(scope)
                    if batch is None:
                        batch = by_scope[scope] = Batch([])
                    batch.events.append(event)
        for scope, batch in by_scope.items():
            for subscriber in self._scopes[scope]:
                subscriber.push(batch)
