"""What dispatching needs of storage and of the broker."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from libs.attempts import Finish
from services.command.dispatch.model import Dispatch


@dataclass(frozen=True, slots=True)
class Published:
    """A dispatch that the stream has stored, at `sequence` in the stream's `epoch`."""

    dispatch: Dispatch
    sequence: int
    epoch: str


@dataclass(frozen=True, slots=True)
class ExpiredLease:
    """A running command whose runner is dead, or that did not heed its cancel in time."""

    tenant_id: str
    partition: int
    command_id: UUID
    lease_token: UUID
    attempt: int
    charged: int
    released: int
    max_attempts: int
    backoff_ms: int
    max_backoff_ms: int
    runner_id: UUID


@dataclass(frozen=True, slots=True)
class PendingPublication:
    """A dead letter that the stream has not seen."""

    tenant_id: str
    command_id: UUID
    agent_id: str
    session_id: str
    type: str
    reason: str


EVERYWHERE = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ConsumerPlace:
    """How far a runner's consumer is, in the stream's present epoch; `waiting` is what it has not been given yet."""

    settled: int
    delivered: int
    in_delivery: int
    waiting: int

    @property
    def undeliverable(self) -> int:
        """The highest place in the stream at which nothing waits for this consumer any more.

        When all that the stream has for it is delivered and settled, that is every place: what was stored further on
        was lost with a rollback of the stream, whether or not it has grown past that since.
        """
        if self.in_delivery:
            return self.settled
        return self.delivered if self.waiting else EVERYWHERE


class DeliveryStore(Protocol):
    """The outbox, and what the reconciler looks for."""

    async def due(self, each: int, limit: int) -> list[Dispatch]:
        """Take what is due for dispatch, at most `each` of a tenant and priority; others will not take it for 2 s."""

    async def next_due(self) -> float | None:
        """Return in how many seconds something becomes due, None when nothing waits."""

    async def in_flight(self) -> dict[tuple[str, int], int]:
        """Count the dispatches that stand in the stream, by tenant and priority."""

    async def mark(self, published: Sequence[Published]) -> None:
        """Remember where dispatches lie; those that were claimed meanwhile are gone."""

    async def published_to(self) -> list[tuple[UUID, int]]:
        """Return the runners and priorities that dispatches stand for."""

    async def undelivered(self, runner_id: UUID, priority: int, epoch: str, upto: int) -> int:
        """Have those dispatched again that lie in another epoch, or at or below `upto` in this one."""

    async def orphaned(self) -> int:
        """Have those dispatched again whose session has moved to another runner."""

    async def mark_runners_dead(self) -> list[tuple[UUID, str]]:
        """Declare the runners dead whose lease has lapsed."""

    async def free_connections(self) -> int:
        """Take connections from dead runners; answers how many want a new runner."""

    async def expired(self) -> list[ExpiredLease]:
        """Return running commands of dead runners."""

    async def overdue_cancels(self) -> list[ExpiredLease]:
        """Return running commands whose cancel was not heeded in time."""

    async def finish(self, tenant_id: str, partition: int, finish: Finish) -> str:
        """End an attempt, fenced like a runner's."""

    async def dispatch_lost(self, tenant_id: str, command_ids: Sequence[UUID], error: str, actor: str) -> int:
        """Charge one attempt to queued commands whose dispatch nobody claimed."""

    async def letters(self) -> list[PendingPublication]:
        """Return dead letters that the stream has not seen."""

    async def mark_published_letters(self, letters: Sequence[PendingPublication]) -> None:
        """Remember that the stream has them."""

    async def forget(self) -> None:
        """Delete idempotency keys, runners and ended commands that are past their time."""


class Broker(Protocol):
    """The stream of dispatches."""

    async def ensure(self) -> str:
        """Make the streams where they are missing and return the present epoch of the dispatches' one.

        Raises `BrokerAwayError` when the broker does not answer.
        """

    async def publish(self, dispatches: Sequence[Dispatch]) -> list[Published]:
        """Publish dispatches and return those that were stored; the rest will be due again."""

    async def place(self, runner_id: UUID, priority: int) -> ConsumerPlace | None:
        """Return how far a runner's consumer is, None when it is not there."""

    async def publish_letters(self, letters: Sequence[PendingPublication]) -> list[PendingPublication]:
        """Publish dead letters and return those that were stored."""

    async def trim(self) -> None:
        """Remove dispatches that every consumer has settled."""


class BrokerAwayError(Exception):
    """The broker does not answer; commands wait in the database meanwhile."""
