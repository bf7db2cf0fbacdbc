"""What the work stream needs of storage and of the bus."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from libs.calls import Actor, IdempotencyKey
from services.session.events.model import AppendCode, Event, NewEvent

NotificationHandler = Callable[[int, int, bytes], None]
"""Called with the first and last position appended, and the events as lines (empty when they did not travel)."""


class NotificationSource(Protocol):
    """Notifications may be lost, repeated and out of order; nothing may rest on them but speed."""

    async def subscribe(
        self, tenant_id: str, partition: int, handler: NotificationHandler
    ) -> Callable[[], Awaitable[None]]:
        """Call `handler` for each hint of the partition from now on; returns what ends the subscription."""


@dataclass(frozen=True, slots=True)
class Appended:
    """The answer to an append: `ok`, or why it was refused, with the state that refused it."""

    code: AppendCode
    first_seq: int
    last_seq: int
    detail: str


@dataclass(frozen=True, slots=True)
class SessionHead:
    """What a reader of a session's events needs to know of it."""

    session_uid: UUID
    partition: int
    agent_id: str
    state: str
    last_seq: int
    first_bucket: int
    incarnation: int


@dataclass(frozen=True, slots=True)
class LogHead:
    """Where a log partition ends, and the first position that it retains."""

    position: int
    incarnation: int
    first_position: int


class EventStore(Protocol):
    """The work stream in storage."""

    async def make_tables(self) -> None:
        """Make the tables of the next four weeks; those that are there stay as they are."""

    async def append(
        self, actor: Actor, partition: int, session_id: str, events: Sequence[NewEvent], key: IdempotencyKey | None
    ) -> Appended:
        """Append all of the events or, when the session takes none, none."""

    async def head(self, tenant_id: str, session_id: str) -> SessionHead | None:
        """Return a session's head, None when there is no such session."""

    async def log(self, tenant_id: str, partition: int) -> LogHead | None:
        """Return a partition's head, None when the tenant has no log."""

    async def of_session(self, tenant_id: str, head: SessionHead, after: int, limit: int, size: int) -> list[Event]:
        """Return a session's events after a seq, in order: `limit` at most, or `size` bytes of payload, but one."""

    async def of_partition(
        self, tenant_id: str, partition: int, after: int, upto: int, limit: int, size: int
    ) -> list[Event]:
        """Return a partition's events after a position and up to another, in order, without holes: `limit` at most,
        or `size` bytes of payload, but one."""

    async def positions(self, partitions: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Return the last positions of partitions."""
