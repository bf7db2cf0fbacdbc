"""What a runner knows of a command and of its claim."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from libs.attempts import ClaimCode, FailureCode, RetryPolicy
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

    @property
    def policy(self) -> RetryPolicy:
        """When the command is tried again."""
        return RetryPolicy(self.max_attempts, self.backoff_ms, self.max_backoff_ms)

    @property
    def suspicion(self) -> Mapping[str, Any]:
        """The details of the last failure if the command may have caused it: it ran when the connection was lost."""
        if self.error is None:
            return {}
        last = orjson.loads(self.error)
        is_suspect = last["code"] == FailureCode.CONNECTION_LOST and last["details"].get("suspects")
        return {"suspects": last["details"]["suspects"]} if is_suspect else {}
