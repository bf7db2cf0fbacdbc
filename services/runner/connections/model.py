"""The connections that a runner has to open, and when a lost or failed one is tried again."""

from dataclasses import dataclass
from random import Random
from uuid import UUID

MAX_CONNECT_ATTEMPTS = 3
CLOSE_GRACE = 5.0
"""How long an agent may take to end, in seconds."""
_LONGEST_DELAY = 30.0
_LOSSES_RESET_AFTER = 120.0  # seconds without a loss; longer than the longest delay plus a slow start


@dataclass(frozen=True, slots=True)
class WantedConnection:
    """A session whose agent the runner has to connect."""

    tenant_id: str
    session_uid: UUID
    partition: int
    session_id: str
    agent_id: str
    kind: str
    server: str
    attempts: int


def connect_delay(attempts: int, draw: Random) -> float | None:
    """Return the seconds before a connect is tried again, or None after the last attempt."""
    return draw.uniform(0.1, 0.5 * 2.0**attempts) if attempts < MAX_CONNECT_ATTEMPTS else None


def reconnect_delay(losses: int) -> float:
    """Return the seconds before a session is connected again that has lost `losses` connections in close succession."""
    return min(_LONGEST_DELAY, 0.05 * 2.0 ** min(losses, 10))


class Losses:
    """Counts the losses of each session's connection. After two minutes without a loss, the count begins again."""

    def __init__(self) -> None:
        self._losses: dict[UUID, tuple[int, float]] = {}

    def count(self, session_uid: UUID, now: float) -> int:
        """Count a loss, and return how many the session has had in close succession."""
        self._losses = {uid: loss for uid, loss in self._losses.items() if now - loss[1] < _LOSSES_RESET_AFTER}
        previous, _ = self._losses.get(session_uid, (0, now))
        self._losses[session_uid] = (previous + 1, now)
        return previous + 1

    def forget(self, session_uid: UUID) -> None:
        """Forget a session that has ended."""
        self._losses.pop(session_uid, None)
