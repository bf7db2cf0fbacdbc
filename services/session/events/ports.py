"""The storage and the notifications that the work stream needs."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from libs.calls import Actor
from libs.idempotency import IdempotencyKey
from services.session.events.model import AppendCode, Event, NewEvent
from services.session.sessions.model import SessionState

NotificationHandler = Callable[[int, int, bytes], None]
"""Called with the first and last appended position, and the events as lines, empty when they are too large."""


class NotificationSource(Protocol):
    """Notifications may be lost, repeated and out of order. They save time; correctness must not depend on them."""

    async def subscribe(
        self, tenant_id: str, partition: int, handler: NotificationHandler
    ) -> Callable[[], Awaitable[None]]:
        """Call `handler` for each notification of the partition. Returns a function that ends the subscription."""


@dataclass(frozen=True, slots=True)
class AppendResult:
    """The answer to an append: `ok`, or why it was rejected. `detail` is the session's state when that is why."""

    code: AppendCode
    first_seq: int
    last_seq: int
    detail: str


@dataclass(frozen=True, slots=True)
class SessionHead:
    """What the readers of a session's events need to know about it."""

    session_uid: UUID
    partition: int
    agent_id: str
    state: SessionState
    last_seq: int
    first_bucket: int
    incarnation: int


@dataclass(frozen=True, slots=True)
class LogHead:
    """The last position of a log partition, and the first one that it retains."""

    position: int
    incarnation: int
    first_position: int


class EventStore(Protocol):
    """Stores the work stream."""

    async def make_tables(self) -> None:
        """Create the tables of the next four weeks. Existing tables stay unchanged."""

    async def append(
        self, actor: Actor, partition: int, session_id: str, events: Sequence[NewEvent], key: IdempotencyKey | None
    ) -> AppendResult:
        """Append all of the events or, when the session accepts none, none."""

    async def head(self, tenant_id: str, session_id: str) -> SessionHead | None:
        """Return a session's head, None when there is no such session."""

    async def log(self, tenant_id: str, partition: int) -> LogHead:
        """Return a partition's head. Every tenant has one for each partition, from its first key on."""

    async def of_session(self, tenant_id: str, head: SessionHead, after: int, limit: int, size: int) -> list[Event]:
        """Return a session's events after a seq, in order: at most `limit` and `size` bytes, but at least one."""

    async def of_partition(
        self, tenant_id: str, partition: int, after: int, upto: int, limit: int, size: int
    ) -> list[Event]:
        """Return a partition's events from after `after` up to `upto`, in order and without gaps.

        Returns at most `limit` events, and at most `size` bytes of payload but at least one event.
        """

    async def positions(self, partitions: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Return the last position of each partition."""
