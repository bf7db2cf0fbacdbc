"""The use cases of events: list, append, and follow a stream from storage into the live tail."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from libs.calls import Actor
from libs.errors import Reason, ServiceError
from libs.failpoints import failpoint
from libs.idempotency import IdempotencyKey, check_key
from libs.ids import partition_of
from services.session.agents.service import Agents
from services.session.events.hub import Hub
from services.session.events.model import AppendCode, Cursor, Event, EventFilter, NewEvent
from services.session.events.ports import AppendResult, EventStore, SessionHead
from services.session.events.scopes import PAGE, PAGE_BYTES, AgentScope, Scope, SessionScope, cursor_expired
from services.session.events.subscriber import Batch, Subscriber
from services.session.sessions.service import session_missing

KEEPALIVE = 15.0  # seconds


@dataclass(slots=True)
class Step:
    """What a reader gets next: a batch of events, or without one a keepalive, or the end."""

    batch: Batch | None
    cursor: Cursor
    ended: bool = False


class Events:
    """Lists and appends the events of sessions."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def head(self, tenant_id: str, session_id: str) -> SessionHead:
        """Return a session's head; raises ServiceError SESSION_NOT_FOUND."""
        head = await self._store.head(tenant_id, session_id)
        if head is None:
            raise session_missing(session_id)
        return head

    async def find(
        self, tenant_id: str, head: SessionHead, wanted: EventFilter, after: int, size: int
    ) -> tuple[list[Event], bool]:
        """Return up to `size` matching events after a seq, fewer when they are large, and whether there may be more."""
        found: list[Event] = []
        taken = 0
        while True:
            page = await self._store.of_session(tenant_id, head, after, PAGE, PAGE_BYTES)
            for event in page:
                if wanted.takes(event):
                    if len(found) == size or taken > PAGE_BYTES:
                        return found, True
                    found.append(event)
                    taken += len(event.payload)
            if not page:
                return found, False
            after = page[-1].seq

    async def append(
        self, actor: Actor, session_id: str, events: Sequence[NewEvent], key: IdempotencyKey | None
    ) -> AppendResult:
        """Append all of the events, or raise ServiceError."""
        head = await self.head(actor.tenant_id, session_id)
        done = await self._store.append(actor, head.partition, session_id, events, key)
        check_key(done.code)
        if done.code == AppendCode.NOT_ACTIVE:
            raise ServiceError(
                Reason.SESSION_NOT_ACTIVE,
                f"session {session_id} is {done.detail} and accepts no events",
                metadata={"session_id": session_id, "state": done.detail},
            )
        if done.code != AppendCode.OK:
            raise session_missing(session_id)
        return done


class Follower:
    """Opens streams of sessions and agents."""

    def __init__(self, store: EventStore, agents: Agents, hub: Hub) -> None:
        self._store = store
        self._events = Events(store)
        self._agents = agents
        self._hub = hub

    async def of_session(self, tenant_id: str, session_id: str, cursor: str, *, from_now: bool) -> SessionScope:
        """Open the stream of a session.

        Raises ServiceError when the session does not exist or the cursor is invalid.
        """
        head = await self._events.head(tenant_id, session_id)
        scope = SessionScope(tenant_id, session_id, head)
        if cursor:
            scope.resume(cursor)
            following = await self._store.of_session(tenant_id, head, scope.after, 1, PAGE_BYTES)
            oldest = following[0].seq - 1 if following else head.last_seq
            if oldest > scope.after:  # events in between are no longer retained
                scope.after = oldest
                raise cursor_expired(scope.cursor())
        elif from_now:
            scope.after = head.last_seq
        return scope

    async def of_agent(self, tenant_id: str, agent_id: str, cursor: str, *, from_start: bool) -> AgentScope:
        """Open the stream of an agent. Raises ServiceError when the agent does not exist or the cursor is invalid."""
        await self._agents.get(tenant_id, agent_id)
        log = await self._store.log(tenant_id, partition_of(agent_id))
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
        async for events in scope.stored(self._store):
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
