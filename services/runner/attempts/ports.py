"""The storage that attempts need."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from libs.attempts import ClaimCode, Ending, Finish, Report
from services.runner.executors.ports import ExecutionOptions


@dataclass(frozen=True, slots=True)
class Claim:
    """The result of a claim: `ok` with the lease, or the reason why it was rejected."""

    code: ClaimCode
    command_id: UUID
    lease_token: UUID | None
    attempt: int
    charged: int
    released: int


@dataclass(frozen=True, slots=True)
class Work(ExecutionOptions):
    """What a runner reads of a command: the fields that never change, and the last attempt's error as JSON text."""

    command_id: UUID
    session_uid: UUID
    type: str
    params: str
    correlation_id: str
    timeout_ms: int
    max_attempts: int
    backoff_ms: int
    max_backoff_ms: int
    error: str | None


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
