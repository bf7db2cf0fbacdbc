"""What attempts need of storage."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim: `ok` with the lease, or why it was refused."""

    code: str
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
