"""Converts service errors to gRPC statuses and back. No other code does."""

from datetime import timedelta

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from libs.errors import STATUS, FieldViolation, Reason, ServiceError

DOMAIN = "callboard.dev"
DETAILS_KEY = "grpc-status-details-bin"
INTERNAL_TEXT = "an internal error; the log has it under the request's id"
# The status travels in metadata and has the message twice. Clients accept 8 KiB of metadata by default.
_MESSAGE_LENGTH = 512
_DETAILS_LENGTH = 3072
_TRY_AGAIN_SECONDS = {
    Reason.RATE_LIMITED: 1.0,
    Reason.SESSION_STOPPING: 0.5,
    Reason.IDEMPOTENCY_KEY_IN_USE: 0.1,
}
_BARE = {
    grpc.StatusCode.UNAVAILABLE: (Reason.SERVICE_UNAVAILABLE, "the service cannot be reached; try again"),
    grpc.StatusCode.DEADLINE_EXCEEDED: (Reason.DEADLINE_EXCEEDED, "the call's deadline passed first"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (
        Reason.RATE_LIMITED,
        "the service takes no more calls; try again later",
    ),
}

Metadata = tuple[tuple[str, str | bytes], ...]


def status_code(reason: Reason) -> grpc.StatusCode:
    """Return the gRPC code of a reason."""
    return grpc.StatusCode[STATUS[reason]]


def service_error_to_status(error: ServiceError) -> status_pb2.Status:
    """Convert an error to a status with an ErrorInfo, its violations as BadRequest and its retry delay as RetryInfo."""
    message = _cut(error.message)
    status = status_pb2.Status(code=status_code(error.reason).value[0], message=message)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    status.details.add().Pack(info)
    if error.violations:
        status.details.add().Pack(_bad_request(error))
    seconds = _TRY_AGAIN_SECONDS.get(error.reason)
    if seconds is not None:
        given = error.metadata.get("retry_after_seconds", "")
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(timedelta(seconds=float(given) if given.isdecimal() else seconds))
        status.details.add().Pack(retry)
    return status


def status_metadata(status: status_pb2.Status) -> Metadata:
    """Return the trailing metadata that carries a status."""
    return ((DETAILS_KEY, status.SerializeToString()),)


def service_error_from_rpc(error: grpc.aio.AioRpcError) -> ServiceError:
    """Convert a failed call to a service error. Without Callboard's details, the status code decides the reason."""
    status = _status_of(error)
    if status is not None:
        service_error = _service_error_from_status(status)
        if service_error is not None:
            return service_error
    reason, message = _BARE.get(error.code(), (Reason.INTERNAL, INTERNAL_TEXT))
    return ServiceError(reason, message)


def _status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    try:
        status = rpc_status.from_call(error)
    except (ValueError, DecodeError):  # the details contradict the code or are not a status
        return None
    return status if isinstance(status, status_pb2.Status) else None


def _service_error_from_status(status: status_pb2.Status) -> ServiceError | None:
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        _ = detail.Unpack(info) or detail.Unpack(bad_request)
    if info.domain != DOMAIN or info.reason not in Reason.__members__:
        return None
    violations = [FieldViolation(found.field, found.description) for found in bad_request.field_violations]
    return ServiceError(Reason(info.reason), status.message, metadata=info.metadata, violations=violations)


def _bad_request(error: ServiceError) -> error_details_pb2.BadRequest:
    """Convert the violations, at least the first and as many as fit."""
    bad_request = error_details_pb2.BadRequest()
    for violation in error.violations:
        bad_request.field_violations.add(field=_cut(violation.field), description=_cut(violation.rule))
        if bad_request.ByteSize() > _DETAILS_LENGTH:
            if len(bad_request.field_violations) > 1:
                del bad_request.field_violations[-1]
            break
    return bad_request


def _cut(text: str) -> str:
    return text if len(text) <= _MESSAGE_LENGTH else f"{text[: _MESSAGE_LENGTH - 1]}…"
