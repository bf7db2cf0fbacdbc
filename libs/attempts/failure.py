"""The reason why an attempt at a command failed, as a value for the retry decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class FailureCode(StrEnum):
    """The codes of failed attempts. Each is the name of a value of the proto enum `ErrorReason`."""

    TOOL_ERROR = "TOOL_ERROR"
    """The tool itself returned an error (`is_error`)."""
    TOOL_NOT_FOUND = "TOOL_NOT_FOUND"
    """The agent has no tool, prompt or resource of that name."""
    INVALID_ARGUMENTS = "INVALID_ARGUMENTS"
    """The arguments break the tool's input schema."""
    COMMAND_TYPE_UNKNOWN = "COMMAND_TYPE_UNKNOWN"
    """The agent's connector does not support this type of command."""
    COMMAND_TIMEOUT = "COMMAND_TIMEOUT"
    """The attempt ran longer than the command allows."""
    CONNECTION_LOST = "CONNECTION_LOST"
    """The connection to the agent was lost while the command ran."""
    AGENT_UNAVAILABLE = "AGENT_UNAVAILABLE"
    """The runner could not connect to the agent."""
    SERVER_NOT_REGISTERED = "SERVER_NOT_REGISTERED"
    """The operator's server registry has no server of that name."""
    AGENT_PROTOCOL_ERROR = "AGENT_PROTOCOL_ERROR"
    """The agent answered with a protocol error or with an invalid answer."""
    RESULT_TOO_LARGE = "RESULT_TOO_LARGE"
    """The result is larger than the limit of storage."""
    LEASE_EXPIRED = "LEASE_EXPIRED"
    """The runner stopped renewing its lease: it died or was paused for longer than the lease."""
    RUNNER_SHUTDOWN = "RUNNER_SHUTDOWN"
    """The runner released the command while it shut down."""
    DISPATCH_LOST = "DISPATCH_LOST"
    """The dispatch was delivered as often as the broker allows, and no runner claimed the command."""
    RELEASED_TOO_OFTEN = "RELEASED_TOO_OFTEN"
    """The command was released uncharged more often than allowed."""
    INTERNAL = "INTERNAL"
    """A fault of Callboard itself. The runner's log has the details."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Describes why one attempt failed.

    `retryable` says whether another attempt could succeed. `charged` says whether this one counts towards the
    command's limit; faults of the infrastructure do not. Characters that Postgres cannot store are replaced, because a
    command whose failure cannot be stored would be retried forever.
    """

    code: FailureCode
    message: str
    retryable: bool
    charged: bool = True
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", _storable(self.message))
        object.__setattr__(self, "details", _storable(dict(self.details)))


def _storable(value: Any) -> Any:
    """Return the value without NUL characters and lone surrogates, which Postgres cannot store."""
    if isinstance(value, str):
        return value.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_storable(key): _storable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(inner) for inner in value]
    return value


class AttemptFailedError(Exception):
    """Raised by an executor when an attempt fails. `failure` is the reason."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.code}: {failure.message}")
        self.failure = failure
