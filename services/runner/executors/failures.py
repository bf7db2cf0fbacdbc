"""Failures that every executor words alike."""

from collections.abc import Iterable
from typing import Any

from libs.attempts import (
    AttemptFailedError,
    Failure,
    FailureCode,
)


def failed(
    code: FailureCode, message: str, *, retryable: bool = False, charged: bool = True, **details: Any
) -> AttemptFailedError:
    """Make the error of a failed attempt; `details` must be JSON-safe."""
    return AttemptFailedError(
        Failure(code=code, message=message, retryable=retryable, charged=charged, details=details)
    )


def invalid_argument(field: str, rule: str) -> AttemptFailedError:
    """A field of the command's parameters breaks a rule."""
    return failed(FailureCode.INVALID_ARGUMENTS, f"{field}: {rule}", errors=[{"field": field, "rule": rule}])


def type_unknown(type_: str, known: Iterable[str]) -> AttemptFailedError:
    """The connector has no such type of command."""
    names = ", ".join(known)
    return failed(FailureCode.COMMAND_TYPE_UNKNOWN, f"the agent knows no command of type {type_!r}; it knows {names}")


def timed_out(timeout: float) -> AttemptFailedError:
    """The attempt ran longer than `timeout` seconds."""
    return failed(FailureCode.COMMAND_TIMEOUT, f"the command ran longer than {timeout:g} seconds", retryable=True)


def connection_lost(reason: str, *, charged: bool, suspects: int = 0) -> AttemptFailedError:
    """The connection broke; `charged` when this command alone can have broken it.

    `suspects` says how many ran at that moment, this command among them; none when it was not under way.
    """
    details = {"suspects": suspects} if suspects else {}
    return failed(
        FailureCode.CONNECTION_LOST,
        f"the connection to the agent was lost: {reason}",
        retryable=True,
        charged=charged,
        **details,
    )
