"""The values of idempotency keys."""

from dataclasses import dataclass
from enum import StrEnum


class KeyState(StrEnum):
    """The state of a stored key."""

    WAITING = "waiting"
    """The key has a note and was not used yet."""
    RUNNING = "running"
    """The first use runs under a lease."""
    DONE = "done"
    """The key has a response, which repeated calls get."""


class KeyCode(StrEnum):
    """The result of taking a key."""

    TAKEN = "taken"
    REPLAY = "replay"
    REUSED = "reused"
    IN_USE = "in_use"


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A caller's key for one operation, and the hash of the request that it was sent with."""

    method: str
    key: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """The result of taking a key, with the plan and the response that are stored with it."""

    code: KeyCode
    plan: str | None = None
    response: str | None = None
