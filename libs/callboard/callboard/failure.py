"""The error of a failed call."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

_DETAILS_KEY = "grpc-status-details-bin"
_DOMAIN = "callboard.dev"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field that breaks its rule: its path in the request, as in `agent.labels["team"]`, and the rule."""

    field: str
    rule: str


class FailedCall(Protocol):
    """The errors that gRPC raises for a failed call, synchronous and asynchronous."""

    def code(self) -> grpc.StatusCode:
        """Return the status."""

    def details(self) -> str | None:
        """Return the message."""

    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """Return the metadata that the server sent after the call."""


class CallboardError(Exception):
    """A call failed.

    `reason` is the name of an `ErrorReason` without its prefix, or empty if Callboard did not report the failure (for
    example if no server answered). `code` is the gRPC code in any case. `violations` names the fields that break a
    rule, and `metadata` has the details of the reason.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        metadata: dict[str, str] | None = None,
        violations: tuple[FieldViolation, ...] = (),
    ) -> None:
        super().__init__(f"{reason or code.name}: {message}")
        self.code = code
        self.message = message
        self.reason = reason
        self.metadata = metadata or {}
        self.violations = violations

    @classmethod
    def of(cls, error: FailedCall) -> "CallboardError":
        """Read the error of a failed call."""
        code, message = error.code(), error.details() or ""
        raw = next((value for key, value in error.trailing_metadata() or () if key == _DETAILS_KEY), None)
        if not isinstance(raw, bytes):
            return cls(code, message)
        try:
            return _read(code, message, raw)
        except DecodeError:  # not from Callboard, perhaps from a proxy
            return cls(code, message)


def _read(code: grpc.StatusCode, message: str, raw: bytes) -> CallboardError:
    reason, metadata, violations = "", dict[str, str](), list[FieldViolation]()
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status_pb2.Status.FromString(raw).details:
        if detail.Unpack(info) and info.domain == _DOMAIN:
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(request):
            violations = [FieldViolation(one.field, one.description) for one in request.field_violations]
    return CallboardError(code, message, reason=reason, metadata=metadata, violations=tuple(violations))
