"""The storage that a runner's lease needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from libs.attempts import CommandLease


@dataclass(frozen=True, slots=True)
class HeldConnection:
    """The connection of a session, which the runner holds according to the database."""

    tenant_id: str
    session_uid: UUID


@dataclass(frozen=True, slots=True)
class Instructions:
    """What a runner has to do, and what it holds according to the database.

    `cancel` lists commands whose cancel was requested, `abandon` commands that the runner no longer owns. `close` and
    `kill` list connections to end, `owned` those that belong to the runner. `running` lists the commands that it has
    held for a while.
    """

    cancel: Sequence[UUID]
    abandon: Sequence[UUID]
    close: Sequence[HeldConnection]
    kill: Sequence[HeldConnection]
    owned: Sequence[HeldConnection]
    running: Sequence[CommandLease]


class LeaseStore(Protocol):
    """The leases of runners, measured by the database's clock."""

    async def register(self, runner_id: UUID, name: str, slots: int, lease: float) -> None:
        """Register a runner with a first lease of `lease` seconds."""

    async def heartbeat(self, runner_id: UUID, lease: float) -> bool:
        """Extend the lease to `lease` seconds from now. Returns False if the runner was declared dead."""

    async def leave(self, runner_id: UUID) -> None:
        """Declare the runner dead at its own request. Whatever it still holds is freed at once."""

    async def instructions(self, runner_id: UUID, executing: Sequence[CommandLease]) -> Instructions:
        """Return the instructions for a runner. `executing` lists the commands that it executes."""
