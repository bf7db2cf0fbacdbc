"""DispatchQueue that have arrived and wait for a free slot."""

from collections import deque
from dataclasses import dataclass, field
from uuid import UUID

from libs.bus import Delivery

_WAITING = 64


@dataclass(slots=True)
class Message:
    """One delivery; it is settled when every command in it was claimed or refused (failures, row 24)."""

    delivery: Delivery
    open: int

    def settle(self) -> None:
        """Count one command as decided, and ack after the last."""
        self.open -= 1
        if not self.open:
            self.delivery.ack()


@dataclass(slots=True)
class Offer:
    """A command that may be claimed."""

    tenant_id: str
    part: int
    command_id: UUID
    message: Message


@dataclass(slots=True)
class Inbox:
    """Offers by priority."""

    slots: int
    queues: tuple[deque[Offer], ...] = field(default_factory=lambda: (deque(), deque(), deque()))

    def __len__(self) -> int:
        return sum(len(queue) for queue in self.queues)

    def put(self, priority: int, offer: Offer) -> None:
        """Queue an offer behind those of its priority."""
        self.queues[priority].append(offer)

    def take(self) -> Offer | None:
        """Take the first offer of the highest priority, None when there is none."""
        for queue in self.queues:
            if queue:
                return queue.popleft()
        return None

    def room(self, priority: int, running: int) -> int:
        """Return how many messages of a priority may arrive now; each may bring many commands.

        Some wait here while every slot is taken, so that the next slot goes to the highest priority there is; what
        is dispatched to this runner waits for nobody else.
        """
        ahead = sum(len(queue) for queue in self.queues[: priority + 1])
        return max(0, min(self.slots + _WAITING - running - ahead, 32))
