"""What a runner's lease needs of storage."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Instructions:
    """What the database asks of a runner, and what it believes that the runner holds.

    `cancel` and `abandon` are commands: those whose cancel is requested, and those that the runner no longer owns.
    `close` and `kill` are connections, as (tenant, session). `owned` are the connections that are the runner's, and
    `running` the commands that have been its for longer than a moment, as (tenant, partition, command, lease token).
    """

    cancel: Sequence[UUID]
    abandon: Sequence[UUID]
    close: Sequence[tuple[str, UUID]]
    kill: Sequence[tuple[str, UUID]]
    owned: Sequence[tuple[str, UUID]]
    running: Sequence[tuple[str, int, UUID, UUID]]


class LeaseStore(Protocol):
    """The leases of runners, by the database's clock."""

    async def register(self, runner_id: UUID, name: str, slots: int, lease: float) -> None:
        """Enter a runner, with a first lease of so many seconds."""

    async def heartbeat(self, runner_id: UUID, lease: float) -> bool:
        """Extend the runner's lease. Returns False when the runner was declared dead: it owns nothing any more."""

    async def leave(self, runner_id: UUID) -> None:
        """Declare the runner dead at its own wish; what it still holds is taken from it at once."""

    async def instructions(self, runner_id: UUID, executing: Sequence[tuple[str, UUID, UUID]]) -> Instructions:
        """Return what is asked of a runner that executes these commands, as (tenant, command, lease token)."""
