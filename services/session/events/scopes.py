"""The scopes of streams: one session, or one agent across its sessions."""

from collections.abc import AsyncIterator
from typing import Protocol

from libs.errors import Reason, ServiceError
from libs.ids import partition_of
from services.session.events.model import Cursor, Event
from services.session.events.ports import EventStore, SessionHead
from services.session.sessions.model import CLOSING_EVENTS

PAGE = 500
"""The most events that are read from storage at once."""
PAGE_BYTES = 4 * 1024 * 1024
"""Payload bytes after which a page ends early. A single event may be larger."""


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
            raise cursor_expired(Cursor(self._name, self.head.incarnation, 0))
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
        upto = (await store.log(self.tenant_id, self.partition)).position
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
            raise cursor_expired(Cursor(self._name, self._incarnation, oldest))
        if wanted.at > newest:
            raise ServiceError(Reason.CURSOR_INVALID, "cursor points past the log's last event")
        self.after = wanted.at


def cursor_expired(oldest: Cursor) -> ServiceError:
    """Return the error for a cursor whose next events are no longer retained. `oldest` is the first that is valid."""
    return ServiceError(
        Reason.CURSOR_EXPIRED,
        "the cursor points before the oldest retained event, or into a log that has been restored since",
        metadata={"oldest_cursor": oldest.text()},
    )
