"""The records of an attempt: its end, and the reports before it."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of an attempt. The SQL function `command.finish` describes the fields."""

    command_id: UUID
    token: UUID
    outcome: str
    actor: str
    event: str
    charged: bool = True
    result: str | None = None
    error: str | None = None
    reason: str | None = None
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
