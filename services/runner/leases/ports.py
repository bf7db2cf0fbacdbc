"""The storage that a runner's lease needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Instructions:
    """What a runner has to do, and what it holds according to the database.

    `cancel` lists commands whose cancel was requested, `abandon` commands that the runner no longer owns. `close` and
    `kill` list connections as (tenant, session). `owned` lists the connections that belong to the runner, as (tenant,
    session). `running` lists the commands that it has held for a while, as (tenant, partition, command, lease token).
    """

    cancel: Sequence[UUID]
    abandon: Sequence[UUID]
    close: Sequence[tuple[str, UUID]]
    kill: Sequence[tuple[str, UUID]]
    owned: Sequence[tuple[str, UUID]]
    running: Sequence[tuple[str, int, UUID, UUID]]


class LeaseStore(Protocol):
    """The leases of runners, measured by the database's clock."""

    async def register(self, runner_id: UUID, name: str, slots: int, lease: float) -> None:
        """Register a runner with a first lease of `lease` seconds."""

    async def heartbeat(self, runner_id: UUID, lease: float) -> bool:
        """Extend the lease to `lease` seconds from now. Returns False if the runner was declared dead."""

    async def leave(self, runner_id: UUID) -> None:
        """Declare the runner dead at its own request. Whatever it still holds is freed at once."""

    async def instructions(self, runner_id: UUID, executing: Sequence[tuple[str, UUID, UUID]]) -> Instructions:
        """Return the instructions for a runner. `executing` lists its commands as (tenant, command, lease token)."""
