"""The storage and the broker that dispatch needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from libs.attempts import CommandLease, Ending, FailureCode, Finish
from services.command.dispatch.model import Dispatch


@dataclass(frozen=True, slots=True)
class Published:
    """A dispatch that the stream has stored at `sequence`, in the stream's `epoch`."""

    dispatch: Dispatch
    sequence: int
    epoch: str


@dataclass(frozen=True, slots=True)
class ExpiredLease(CommandLease):
    """A running command whose runner is dead, or that did not stop within the grace of its cancel."""

    attempt: int
    charged: int
    released: int
    max_attempts: int
    backoff_ms: int
    max_backoff_ms: int
    runner_id: UUID


@dataclass(frozen=True, slots=True)
class PendingPublication:
    """A dead letter that is not in the stream yet."""

    tenant_id: str
    command_id: UUID
    agent_id: str
    session_id: str
    type: str
    reason: FailureCode


EVERYWHERE = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ConsumerPosition:
    """The position of a runner's consumer in the current epoch. `waiting` counts undelivered messages."""

    settled: int
    delivered: int
    in_delivery: int
    waiting: int

    @property
    def undeliverable(self) -> int:
        """The highest sequence up to which the stream will deliver nothing more to this consumer.

        When everything is delivered and settled, that is every sequence. A dispatch at a higher sequence was lost in a
        rollback of the stream, even if the stream has since grown past that sequence.
        """
        if self.in_delivery:
            return self.settled
        return self.delivered if self.waiting else EVERYWHERE


class DeliveryStore(Protocol):
    """The outbox, and the queries of the reconciler."""

    async def due(self, each: int, limit: int) -> list[Dispatch]:
        """Take due dispatches, at most `each` of a tenant and priority. Other replicas do not take them for 2 s."""

    async def next_due(self) -> float | None:
        """Return the seconds until the next dispatch is due, None when none waits."""

    async def in_flight(self) -> dict[tuple[str, int], int]:
        """Count the dispatches in the stream, by tenant and priority."""

    async def mark(self, published: Sequence[Published]) -> None:
        """Record the sequences of dispatches. Those that were claimed in the meantime are skipped."""

    async def published_to(self) -> list[tuple[UUID, int]]:
        """Return the runners and priorities of the dispatches in the stream."""

    async def undelivered(self, runner_id: UUID, priority: int, epoch: str, upto: int) -> int:
        """Make dispatches due again that are in another epoch, or not above `upto` in this one. Returns how many."""

    async def orphaned(self) -> int:
        """Make dispatches due again whose session has moved to another runner. Returns how many."""

    async def mark_runners_dead(self) -> list[tuple[UUID, str]]:
        """Mark the runners with an expired lease as dead, and return their ids and names."""

    async def free_connections(self) -> int:
        """Take the connections of dead runners from them. Returns how many need a new runner."""

    async def expired(self) -> list[ExpiredLease]:
        """Return running commands of dead runners."""

    async def overdue_cancels(self) -> list[ExpiredLease]:
        """Return running commands that did not stop within the grace of their cancel."""

    async def finish(self, tenant_id: str, partition: int, finish: Finish) -> Ending:
        """End an attempt, fenced like one of a runner, and return how it ended."""

    async def dispatch_lost(self, tenant_id: str, command_ids: Sequence[UUID], error: str, actor: str) -> int:
        """Charge one attempt to queued commands whose dispatch no runner claimed. Returns how many."""

    async def unpublished_dead_letters(self) -> list[PendingPublication]:
        """Return dead letters that are not in the stream yet."""

    async def mark_dead_letters_published(self, dead_letters: Sequence[PendingPublication]) -> None:
        """Record that the stream has these dead letters."""

    async def forget(self) -> None:
        """Delete expired idempotency keys, dead runners, and ended commands whose retention is over."""


class Broker(Protocol):
    """The stream of dispatches."""

    async def ensure(self) -> str:
        """Create missing streams and return the current epoch of the dispatches' stream.

        Raises `BrokerAwayError` when the broker does not answer.
        """

    async def publish(self, dispatches: Sequence[Dispatch]) -> list[Published]:
        """Publish dispatches and return those that the stream stored. The others become due again."""

    async def position(self, runner_id: UUID, priority: int) -> ConsumerPosition | None:
        """Return the position of a runner's consumer, None when it does not exist."""

    async def publish_dead_letters(self, dead_letters: Sequence[PendingPublication]) -> list[PendingPublication]:
        """Publish dead letters and return those that the stream stored."""

    async def trim(self) -> None:
        """Remove dispatches that every consumer has settled."""


class BrokerAwayError(Exception):
    """The broker does not answer or stores nothing. Commands wait in the database."""
