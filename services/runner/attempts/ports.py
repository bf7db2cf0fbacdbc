"""What attempts need of storage."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from libs.attempts import ClaimCode, Finish, Report


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim: `ok` with the lease, or why it was refused."""

    code: ClaimCode
    command_id: UUID
    lease_token: UUID | None
    attempt: int
    charged: int
    released: int


@dataclass(frozen=True, slots=True)
class Work:
    """What a runner reads of a command: the parts that never change, and how the attempt before failed (JSON text)."""

    command_id: UUID
    session_uid: UUID
    type: str
    params: str
    correlation_id: str
    timeout_ms: int
    max_attempts: int
    backoff_ms: int
    max_backoff_ms: int
    retry_tool_errors: bool
    error: str | None


class AttemptStore(Protocol):
    """Attempts at commands. Every write to a running command is fenced by its lease token."""

    async def work(self, tenant_id: str, command_id: UUID) -> Work | None:
        """Return what is to be done for a command, None when there is none."""

    async def claim(self, tenant_id: str, partition: int, runner_id: UUID, command_id: UUID) -> Claim:
        """Claim a command for a runner."""

    async def report(self, tenant_id: str, partition: int, report: Report) -> bool:
        """Store progress or output; false when the lease is gone."""

    async def finish(self, tenant_id: str, partition: int, finish: Finish) -> str:
        """End an attempt; answers the state that the command is in now, or `fenced`."""
