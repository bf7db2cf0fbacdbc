"""Failures that all executors share, so that their messages agree."""

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
    """Return the error of a failed attempt. `details` must be JSON-safe."""
    return AttemptFailedError(
        Failure(code=code, message=message, retryable=retryable, charged=charged, details=details)
    )


def invalid_argument(field: str, rule: str) -> AttemptFailedError:
    """Return the error for a parameter that breaks a rule."""
    return failed(FailureCode.INVALID_ARGUMENTS, f"{field}: {rule}", errors=[{"field": field, "rule": rule}])


def type_unknown(type_: str, known: Iterable[str]) -> AttemptFailedError:
    """Return the error for a command type that the connector does not support."""
    names = ", ".join(known)
    return failed(
        FailureCode.COMMAND_TYPE_UNKNOWN, f"the agent does not support commands of type {type_!r}; it supports {names}"
    )


def timed_out(timeout: float) -> AttemptFailedError:
    """Return the error for an attempt that ran longer than `timeout` seconds."""
    return failed(FailureCode.COMMAND_TIMEOUT, f"the command ran longer than {timeout:g} seconds", retryable=True)


def connection_lost(reason: str, *, charged: bool, suspects: int = 0) -> AttemptFailedError:
    """Return the error for a lost connection. `charged` means that only this command can have broken it.

    `suspects` is the number of commands that ran at that moment, including this one. It is 0 if this one did not run.
    """
    details = {"suspects": suspects} if suspects else {}
    return failed(
        FailureCode.CONNECTION_LOST,
        f"the connection to the agent was lost: {reason}",
        retryable=True,
        charged=charged,
        **details,
    )
