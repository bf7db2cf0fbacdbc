"""The storage that a runner's lease needs."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from libs.attempts import CommandLease
from services.runner.leases.model import Instructions


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
