"""Delivered commands that wait for a free slot."""

from collections import deque
from dataclasses import dataclass, field

from services.runner.sources.ports import DeliveredCommand

_WAITING = 64


@dataclass(slots=True)
class Inbox:
    """Delivered commands, one queue for each priority."""

    slots: int
    queues: tuple[deque[DeliveredCommand], ...] = field(default_factory=lambda: (deque(), deque(), deque()))

    def __len__(self) -> int:
        return sum(len(queue) for queue in self.queues)

    def put(self, priority: int, command: DeliveredCommand) -> None:
        """Append a command to the queue of its priority."""
        self.queues[priority].append(command)

    def take(self) -> DeliveredCommand | None:
        """Remove and return the first command of the highest priority, or None if all queues are empty."""
        for queue in self.queues:
            if queue:
                return queue.popleft()
        return None

    def room(self, priority: int, running: int) -> int:
        """Return how many deliveries of a priority may arrive now. Each may contain many commands.

        Some commands are accepted while every slot is taken, so that the next free slot goes to the highest priority.
        This delays no one: a command that was dispatched to this runner cannot run elsewhere.
        """
        ahead = sum(len(queue) for queue in self.queues[: priority + 1])
        return max(0, min(self.slots + _WAITING - running - ahead, 32))
