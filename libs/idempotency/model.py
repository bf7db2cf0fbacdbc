"""Idempotency keys: what a caller's key stands for, and what became of it."""

from dataclasses import dataclass
from enum import StrEnum


class KeyState(StrEnum):
    """Where a stored key stands."""

    WAITING = "waiting"
    """It carries a note for its first use."""
    RUNNING = "running"
    """Its first use runs, under a lease."""
    DONE = "done"
    """It replays its response."""


class KeyCode(StrEnum):
    """What became of a key that a call wants to use."""

    TAKEN = "taken"
    REPLAY = "replay"
    REUSED = "reused"
    IN_USE = "in_use"


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A caller's key for one operation, and the hash of the request that it stands for."""

    method: str
    key: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a key, with its plan and its response where it has them."""

    code: KeyCode
    plan: str | None = None
    response: str | None = None
