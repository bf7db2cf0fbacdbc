"""The records of an attempt: its end, and the reports before it."""

from dataclasses import dataclass
from typing import Literal, TypeAlias
from uuid import UUID

from libs.attempts.codes import FenceCode
from libs.attempts.failure import FailureCode
from libs.attempts.model import Outcome

Ending: TypeAlias = Outcome | Literal[FenceCode.FENCED]
"""How an attempt ended, or `fenced` if its lease no longer held."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of an attempt. The SQL function `command.finish` describes the fields."""

    command_id: UUID
    token: UUID
    outcome: Outcome
    actor: str
    event: str
    charged: bool = True
    result: str | None = None
    error: str | None = None
    reason: FailureCode | None = None
    delay_ms: int = 0
    note: str | None = None
    counted: bool = True
    """Whether a release counts towards the limit of releases."""


@dataclass(frozen=True, slots=True)
class Report:
    """Progress or output of a running command."""

    command_id: UUID
    token: UUID
    type: str
    payload: str
    actor: str
    progress: str | None = None


LARGE_RESULT_BYTES = 256 * 1024
"""Results larger than this are stored in a table of their own."""
