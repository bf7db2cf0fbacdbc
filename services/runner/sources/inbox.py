"""Commands that were delivered and wait for a free slot."""

from collections import deque
from dataclasses import dataclass, field

from services.runner.sources.ports import DeliveredCommand

_WAITING = 64


@dataclass(slots=True)
class Inbox:
    """Delivered commands by priority."""

    slots: int
    queues: tuple[deque[DeliveredCommand], ...] = field(default_factory=lambda: (deque(), deque(), deque()))

    def __len__(self) -> int:
        return sum(len(queue) for queue in self.queues)

    def put(self, priority: int, command: DeliveredCommand) -> None:
        """Queue a command behind those of its priority."""
        self.queues[priority].append(command)

    def take(self) -> DeliveredCommand | None:
        """Take the first command of the highest priority, None when there is none."""
        for queue in self.queues:
            if queue:
                return queue.popleft()
        return None

    def room(self, priority: int, running: int) -> int:
        """Return how many deliveries of a priority may arrive now; each may bring many commands.

        Some wait here while every slot is taken, so that the next slot goes to the highest priority there is; what
        is dispatched to this runner waits for nobody else.
        """
        ahead = sum(len(queue) for queue in self.queues[: priority + 1])
        return max(0, min(self.slots + _WAITING - running - ahead, 32))
