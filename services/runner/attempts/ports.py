"""The storage that attempts need."""

from typing import Protocol
from uuid import UUID

from libs.attempts import Ending, Finish, Report
from services.runner.attempts.model import Claim, Work


class AttemptStore(Protocol):
    """Stores attempts. Every write to a running command is fenced by its lease token."""

    async def work(self, tenant_id: str, command_id: UUID) -> Work | None:
        """Return what a command has to do, or None if there is no such command."""

    async def claim(self, tenant_id: str, partition: int, runner_id: UUID, command_id: UUID) -> Claim:
        """Claim a command for a runner."""

    async def report(self, tenant_id: str, partition: int, report: Report) -> bool:
        """Store progress or output. Returns False if the lease no longer holds."""

    async def finish(self, tenant_id: str, partition: int, finish: Finish) -> Ending:
        """End an attempt. Returns how it ended, or `fenced` if the lease no longer holds."""
