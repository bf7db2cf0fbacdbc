"""Follows a stream: first from storage, then from the live tail, each event once and in order."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from libs.errors import Reason, ServiceError
from libs.failpoints import failpoint
from libs.ids import partition_of
from services.session.agents.service import Agents
from services.session.events.hub import Hub
from services.session.events.model import (
    Cursor,
    Event,
    EventFilter,
)
from services.session.events.ports import EventStore, SessionHead
from services.session.events.subscriber import Batch, Subscriber
from services.session.sessions.model import CLOSING_EVENTS

PAGE = 500
PAGE_BYTES = 4 * 1024 * 1024
"""Payload bytes after which a page ends early. A single event may be larger."""
KEEPALIVE = 15.0  # seconds


@dataclass(slots=True)
class Step:
    """What a reader gets next: a batch of events, or without one a keepalive, or the end."""

    batch: Batch | None
    cursor: Cursor
    ended: bool = False


class Scope(Protocol):
    """What differs between streams: which events they read, how these are numbered, and when the stream ends."""

    tenant_id: str
    partition: int
    key: str
    after: int

    def cursor(self) -> Cursor:
        """Return the cursor after the last event that was taken."""

    def number(self, event: Event) -> int:
        """Return the event's number in this stream."""

    def closes(self, event: Event) -> bool:
        """Whether the event is the last one of the stream."""

    def stored(self, store: EventStore) -> AsyncIterator[list[Event]]:
        """Yield the stored events after `after`, page by page. The caller advances `after`."""


class SessionScope:
    """The stream of one session: numbered by `seq`, ended by its closing event."""

    def __init__(self, tenant_id: str, session_id: str, head: SessionHead) -> None:
        self.tenant_id = tenant_id
        self.partition = head.partition
        self.key = str(head.session_uid)
        self.after = 0
        self.head = head
        self._name = f"session/{session_id}"

    @property
    def is_live(self) -> bool:
        """Whether the session had not ended when the stream began."""
        return self.head.state.is_live

    @property
    def is_over(self) -> bool:
        """Whether no event is left to read and none will come."""
        return not self.is_live and self.after >= self.head.last_seq

    def cursor(self) -> Cursor:
        """Return the cursor after the last event that was taken."""
        return Cursor(self._name, self.head.incarnation, self.after)

    def number(self, event: Event) -> int:
        """Return the event's number in its session."""
        return event.seq

    def closes(self, event: Event) -> bool:
        """Whether the event is the session's last."""
        return event.type in CLOSING_EVENTS

    async def stored(self, store: EventStore) -> AsyncIterator[list[Event]]:
        """Yield the stored events after `after`, page by page."""
        while True:
            events = await store.of_session(self.tenant_id, self.head, self.after, PAGE, PAGE_BYTES)
            if events:
                yield events
            if not events or (len(events) < PAGE and sum(len(event.payload) for event in events) < PAGE_BYTES // 8):
                return

    def resume(self, text: str) -> None:
        """Begin after a cursor.

        Raises ServiceError when it is invalid or from before a restore of the log (rule 11).
        """
        wanted = Cursor.read(text, self._name)
        if wanted.incarnation != self.head.incarnation:
            raise _expired(Cursor(self._name, self.head.incarnation, 0))
        if wanted.at > self.head.last_seq:
            raise ServiceError(Reason.CURSOR_INVALID, "cursor points past the session's last event")
        self.after = wanted.at


class AgentScope:
    """The stream of one agent across its sessions: numbered by the position in its partition, without an end."""

    def __init__(self, tenant_id: str, agent_id: str, incarnation: int) -> None:
        self.tenant_id = tenant_id
        self.partition = partition_of(agent_id)
        self.key = agent_id
        self.after = 0
        self._incarnation = incarnation
        self._name = f"agent/{agent_id}"

    def cursor(self) -> Cursor:
        """Return the cursor after the last event that was taken."""
        return Cursor(self._name, self._incarnation, self.after)

    def number(self, event: Event) -> int:
        """Return the event's position."""
        return event.position

    def closes(self, event: Event) -> bool:
        """Return False: an agent's stream never ends."""
        return False

    async def stored(self, store: EventStore) -> AsyncIterator[list[Event]]:
        """Yield the stored events after `after`, page by page.

        Advances `after` past pages without the agent's events.
        """
        log = await store.log(self.tenant_id, self.partition)
        upto = log.position if log else self.after
        while self.after < upto:
            events = await store.of_partition(self.tenant_id, self.partition, self.after, upto, PAGE, PAGE_BYTES)
            last = events[-1].position if events else upto
            mine = [event for event in events if event.agent_id == self.key]
            if mine:
                yield mine
            self.after = last

    def resume(self, text: str, oldest: int, newest: int) -> None:
        """Begin after a cursor. Raises ServiceError when it is not between `oldest` and `newest`."""
        wanted = Cursor.read(text, self._name)
        if wanted.incarnation != self._incarnation or wanted.at < oldest:
            raise _expired(Cursor(self._name, self._incarnation, oldest))
        if wanted.at > newest:
            raise ServiceError(Reason.CURSOR_INVALID, "cursor points past the log's last event")
        self.after = wanted.at


class Follower:
    """Opens streams of sessions and agents."""

    def __init__(self, events: EventStore, agents: Agents, hub: Hub) -> None:
        self._events = events
        self._agents = agents
        self._hub = hub

    async def of_session(self, tenant_id: str, session_id: str, cursor: str, *, from_now: bool) -> SessionScope:
        """Open the stream of a session.

        Raises ServiceError when the session does not exist or the cursor is invalid.
        """
        head = await self._events.head(tenant_id, session_id)
        if head is None:
            raise ServiceError(
                Reason.SESSION_NOT_FOUND, f"there is no session {session_id}", metadata={"session_id": session_id}
            )
        scope = SessionScope(tenant_id, session_id, head)
        if cursor:
            scope.resume(cursor)
            following = await self._events.of_session(tenant_id, head, scope.after, 1, PAGE_BYTES)
            oldest = following[0].seq - 1 if following else head.last_seq
            if oldest > scope.after:  # events in between are no longer retained
                scope.after = oldest
                raise _expired(scope.cursor())
        elif from_now:
            scope.after = head.last_seq
        return scope

    async def of_agent(self, tenant_id: str, agent_id: str, cursor: str, *, from_start: bool) -> AgentScope:
        """Open the stream of an agent. Raises ServiceError when the agent does not exist or the cursor is invalid."""
        await self._agents.get(tenant_id, agent_id)
        log = await self._events.log(tenant_id, partition_of(agent_id))
        if log is None:
            raise ServiceError(Reason.INTERNAL, "the tenant has no log")
        scope = AgentScope(tenant_id, agent_id, log.incarnation)
        if cursor:
            scope.resume(cursor, log.first_position - 1, log.position)
        else:
            scope.after = log.first_position - 1 if from_start else log.position
        return scope

    async def follow(self, scope: Scope, wanted: EventFilter, *, is_live: bool = True) -> AsyncGenerator[Step]:
        """Yield the stream's events from its beginning: first the stored ones, then new ones.

        The reader attaches to the tail before it reads storage, so it misses no commit in between. It recognises
        events that arrive twice by their numbers. A reader that falls behind goes back to storage.
        """
        if is_live and (scope.after or not isinstance(scope, SessionScope)):
            # A reader that does not begin at the first event gets a cursor to resume from before any event arrives.
            yield Step(None, scope.cursor())
        while is_live:
            async with self._hub.attached(scope.tenant_id, scope.partition, scope.key) as subscriber:
                for source in (self._from_storage, self._from_tail):
                    async with aclosing(source(scope, wanted, subscriber)) as steps:
                        async for step in steps:
                            yield step
                            if step.ended:
                                return
        async with aclosing(self._from_storage(scope, wanted, None)) as steps:
            async for step in steps:
                yield step
                if step.ended:
                    return
        yield Step(None, scope.cursor(), ended=True)

    async def _from_storage(self, scope: Scope, wanted: EventFilter, _: Subscriber | None) -> AsyncGenerator[Step]:
        async for events in scope.stored(self._events):
            for step in _taken(scope, Batch(events), wanted):
                yield step

    async def _from_tail(
        self, scope: Scope, wanted: EventFilter, subscriber: Subscriber | None
    ) -> AsyncGenerator[Step]:
        """Yield the events of the tail until the reader has fallen behind."""
        failpoint("follow.between_storage_and_tail")
        while subscriber is not None and not subscriber.overflowed:
            batch = await subscriber.take(KEEPALIVE)
            if batch is not None:
                for step in _taken(scope, batch, wanted):
                    yield step
            elif subscriber.closed:
                raise ServiceError(
                    Reason.SHUTTING_DOWN,
                    "the server is shutting down; resume elsewhere",
                    metadata={"cursor": scope.cursor().text()},
                )
            elif not subscriber.overflowed:
                yield Step(None, scope.cursor())


def _taken(scope: Scope, batch: Batch, wanted: EventFilter) -> list[Step]:
    """Return the steps, at most two, for the new events of a batch.

    If all of its events are wanted, the batch itself is returned. Its readers share it, so that it is encoded once.
    """
    if scope.number(batch.events[0]) <= scope.after:
        batch = Batch([event for event in batch.events if scope.number(event) > scope.after])
        if not batch.events:
            return []
    last = batch.events[-1]
    scope.after = scope.number(last)
    if not wanted.takes_all:
        batch = Batch([event for event in batch.events if wanted.takes(event)])
    steps = [Step(batch, scope.cursor())] if batch.events else []
    if scope.closes(last):
        steps.append(Step(None, scope.cursor(), ended=True))
    return steps


def _expired(oldest: Cursor) -> ServiceError:
    return ServiceError(
        Reason.CURSOR_EXPIRED,
        "the cursor points before the oldest retained event, or into a log that has been restored since",
        metadata={"oldest_cursor": oldest.text()},
    )
