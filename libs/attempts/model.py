"""The values of attempts."""

from enum import StrEnum


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    RETRYING = "retrying"
    RELEASED = "released"
    FAILED = "failed"
    CANCELLED = "cancelled"
