"""How a command is cancelled."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

DEFAULT_GRACE_MS = 5_000
"""Milliseconds that a running command has to heed its cancel, when the caller does not say."""
DEFAULT_LIMIT = 100
"""How many commands one call cancels at most, when the caller does not say."""


class CancelMode(StrEnum):
    """How hard a running command is cancelled; one that waits is cancelled at once in every mode."""

    GRACEFUL = "graceful"
    """Its agent is asked to stop, and the command is cancelled by force when its grace is over."""
    IMMEDIATE = "immediate"
    """It is cancelled now; its agent is asked to stop, and nobody waits for that."""
    KILL = "kill"
    """As immediately, and the agent's processes are killed. What else ran in them is run again, uncharged."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """What is asked for; `grace_ms` counts for the graceful mode alone."""

    mode: CancelMode = CancelMode.GRACEFUL
    grace_ms: int = DEFAULT_GRACE_MS
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OpenFilter:
    """Which of the commands that have not ended; empty means any."""

    session_id: str = ""
    agent_id: str = ""
    states: tuple[str, ...] = ()
    type: str = ""
    correlation_id: str = ""
    enqueued_after: datetime | None = None
    enqueued_before: datetime | None = None
