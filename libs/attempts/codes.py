"""Result codes of the database functions that runners call."""

from enum import StrEnum


class ClaimCode(StrEnum):
    """The result of a claim."""

    OK = "ok"
    GONE = "gone"
    RUNNER_DEAD = "runner_dead"
    NOT_DUE = "not_due"
    SESSION_NOT_ACTIVE = "session_not_active"
    NOT_OWNER = "not_owner"


class FenceCode(StrEnum):
    """Whether a runner still held the lease of the command that it wrote to."""

    OK = "ok"
    FENCED = "fenced"
