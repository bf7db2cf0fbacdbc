"""One partition of the work stream in memory, and the notifications of what is appended to it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import astuple
from typing import cast
from uuid import UUID

import orjson

from libs.errors import Reason, ServiceError
from libs.ids import partition_of
from services.session.events.model import Event
from services.session.events.ports import EventStore, LogHead, NotificationHandler, SessionHead
from services.session.sessions.model import SessionState

TENANT, AGENT, SESSION = "acme", "clock", "ses-1"
SESSION_UID = UUID(int=1)
PARTITION = partition_of(AGENT)


def event_at(position: int, agent_id: str = AGENT) -> Event:
    """The event of a session of the agent, with the same number in the session as in the partition."""
    return Event(position, position, str(SESSION_UID), "", "user.note", 1, SESSION, agent_id, "", "", "", "", 0, "{}")


class EventLog:
    """An event store. While `is_away`, it reads nothing, as when the database does not answer."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.is_away = False
        self.failed_reads = 0
        self.reads = 0
        self.handlers: list[NotificationHandler] = []

    @property
    def store(self) -> EventStore:
        """The log as the port."""
        return cast(EventStore, self)

    def append(self, count: int = 1, agent_id: str = AGENT) -> list[Event]:
        """Stores so many more events, without a notification."""
        begin = len(self.events) + 1
        added = [event_at(position, agent_id) for position in range(begin, begin + count)]
        self.events += added
        return added

    def notify(self, events: Sequence[Event], *, with_lines: bool = True) -> None:
        """Notifies all subscribers of events, with or without their text."""
        lines = b"\n".join(orjson.dumps(astuple(event)) for event in events) if with_lines else b""
        for handler in self.handlers:
            handler(events[0].position, events[-1].position, lines)

    async def subscribe(
        self, tenant_id: str, partition: int, handler: NotificationHandler
    ) -> Callable[[], Awaitable[None]]:
        """See NotificationSource."""
        self.handlers.append(handler)

        async def unsubscribe() -> None:
            self.handlers.remove(handler)

        return unsubscribe

    async def head(self, tenant_id: str, session_id: str) -> SessionHead | None:
        """See EventStore."""
        return SessionHead(SESSION_UID, PARTITION, AGENT, SessionState.ACTIVE, len(self.events), 0, 1)

    async def log(self, tenant_id: str, partition: int) -> LogHead:
        """See EventStore."""
        self._read()
        return LogHead(len(self.events), 1, 1)

    async def of_session(self, tenant_id: str, head: SessionHead, after: int, limit: int, size: int) -> list[Event]:
        """See EventStore."""
        return await self.of_partition(tenant_id, head.partition, after, len(self.events), limit, size)

    async def of_partition(
        self, tenant_id: str, partition: int, after: int, upto: int, limit: int, size: int
    ) -> list[Event]:
        """See EventStore."""
        self._read()
        return self.events[after:upto][:limit]

    async def positions(self, partitions: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """See EventStore."""
        self._read()
        return {key: len(self.events) for key in partitions}

    def _read(self) -> None:
        if self.is_away:
            self.failed_reads += 1
            raise ServiceError(Reason.DATABASE_UNAVAILABLE, "the database does not answer")
        self.reads += 1
