"""What Callboard says when it refuses a call, read without any further package."""

from collections.abc import Iterator
from dataclasses import dataclass

import grpc
from google.protobuf import any_pb2, empty_pb2
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

_DETAILS_KEY = "grpc-status-details-bin"
_DOMAIN = "callboard.dev"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field that breaks its rule: its path in the request, as in `agent.labels["team"]`, and the rule."""

    field: str
    rule: str


class CallboardError(Exception):
    """A call failed.

    `reason` is the name of an `ErrorReason` without its prefix, or empty when the failure is not one that
    Callboard itself reported (nobody answered, for example); `code` is the gRPC code in any case.
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
    def of(cls, error: grpc.aio.AioRpcError) -> "CallboardError":
        """Read the error of a failed call."""
        code, message = error.code(), error.details() or ""
        raw = next((value for key, value in error.trailing_metadata() or () if key == _DETAILS_KEY), None)
        if not isinstance(raw, bytes):
            return cls(code, message)
        try:
            return _read(code, message, raw)
        except (DecodeError, UnicodeDecodeError):  # not ours: a proxy's, perhaps
            return cls(code, message)


def _read(code: grpc.StatusCode, message: str, raw: bytes) -> CallboardError:
    """Read a `google.rpc.Status`: field 3 holds its details, each an Any."""
    reason, metadata, violations = "", dict[str, str](), list[FieldViolation]()
    for encoded in _fields(raw, 3):
        detail = any_pb2.Any.FromString(encoded)
        match detail.type_url.rpartition("/")[2]:
            case "google.rpc.ErrorInfo" if _text(detail.value, 2) == _DOMAIN:
                reason = _text(detail.value, 1)
                metadata = {_text(entry, 1): _text(entry, 2) for entry in _fields(detail.value, 3)}
            case "google.rpc.BadRequest":
                violations = [FieldViolation(_text(one, 1), _text(one, 2)) for one in _fields(detail.value, 1)]
    return CallboardError(code, message, reason=reason, metadata=metadata, violations=tuple(violations))


def _fields(raw: bytes, number: int) -> Iterator[bytes]:
    """Return the values of one length-delimited field of any message.

    The messages of `google.rpc` come with a package that clients need not have. To a message without fields
    all fields are unknown, and protobuf lists those.
    """
    for field in list(UnknownFieldSet(empty_pb2.Empty.FromString(raw))):  # type: ignore[call-overload]
        if field.field_number == number and isinstance(field.data, bytes):
            yield field.data


def _text(raw: bytes, number: int) -> str:
    return next((value.decode() for value in _fields(raw, number)), "")
