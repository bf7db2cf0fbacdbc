"""Where a committed command is handed over for delivery."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A command that may be delivered: ids only, the rest is in the database (failures, row 1)."""

    tenant_id: str
    part: int
    priority: int
    runner_id: UUID
    command_id: UUID
    dispatch_no: int


class Dispatches(Protocol):
    """Takes dispatches after their commit, and publishes them in the background."""

    def offer(self, dispatches: Sequence[Dispatch]) -> None:
        """Publish them soon; never raises, never waits. What is lost here is found again in `command.ready`."""
