"""The contract's reasons, the error table and the codes of failed attempts agree."""

import re

import grpc
import pytest
from google.rpc import error_details_pb2

from callboard import descriptors
from callboard.errors.v1.errors_pb2 import ErrorReason
from libs.attempts import FailureCode
from libs.errors import HTTP_STATUS, STATUS, FieldViolation, Reason, ServiceError
from libs.rpc import service_error_from_rpc, service_error_to_status
from libs.rpc.errors import DOMAIN, status_code, status_metadata

_CODES = re.compile(r"(?:attempt, and )?([A-Z_]+) / (\d{3}):")


def comments() -> dict[str, str]:
    """Return the contract's comment on each reason."""
    prefix = "callboard.errors.v1.ErrorReason.ERROR_REASON_"
    found = descriptors.comments()
    return {name.removeprefix(prefix): text for name, text in found.items() if name.startswith(prefix)}


def attempts() -> set[str]:
    return {name for name, text in comments().items() if text.startswith("attempt")}


def test_every_value_of_the_contract_is_parsed() -> None:
    assert {f"ERROR_REASON_{name}" for name in comments()} == set(ErrorReason.keys())


def test_reasons_match_the_contract() -> None:
    errors = {name for name, text in comments().items() if _CODES.match(text)}
    assert set(Reason.__members__) == errors
    assert set(STATUS) == set(HTTP_STATUS) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_code_and_http_status_match_the_contract(reason: Reason) -> None:
    found = _CODES.match(comments()[reason])
    assert found
    assert (STATUS[reason], str(HTTP_STATUS[reason])) == found.groups()


def test_codes_of_failed_attempts_match_the_contract() -> None:
    assert {str(code) for code in FailureCode} == attempts() | {"INTERNAL"}


def test_every_reason_belongs_to_a_call_or_to_an_attempt() -> None:
    others = set(comments()) - set(Reason.__members__) - attempts()
    assert others == {"UNSPECIFIED"}


def error_of(error: ServiceError, **more: object) -> grpc.aio.AioRpcError:
    """Return the error that a client gets."""
    status = service_error_to_status(error)
    trailing = grpc.aio.Metadata(*status_metadata(status))
    return grpc.aio.AioRpcError(
        status_code(error.reason), trailing_metadata=trailing, details=str(more.get("details", status.message))
    )


@pytest.mark.parametrize("reason", Reason)
def test_service_error_survives_the_round_trip_through_a_status(reason: Reason) -> None:
    violations = (FieldViolation('agent.labels["k"]', "is wrong"), FieldViolation("b[3]", "is wrong too"))
    error = ServiceError(reason, "a message", metadata={"agent_id": "a"}, violations=violations)
    again = service_error_from_rpc(error_of(error))
    assert (again.reason, again.message) == (reason, "a message")
    assert (again.metadata, again.violations) == ({"agent_id": "a"}, violations)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, Reason.SERVICE_UNAVAILABLE),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Reason.DEADLINE_EXCEEDED),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.RATE_LIMITED),
        (grpc.StatusCode.UNKNOWN, Reason.INTERNAL),
        (grpc.StatusCode.UNIMPLEMENTED, Reason.INTERNAL),
    ],
)
def test_foreign_error_gets_a_reason_and_loses_its_text(code: grpc.StatusCode, reason: Reason) -> None:
    error = service_error_from_rpc(grpc.aio.AioRpcError(code, details="ipv4:10.0.0.1: Traceback"))
    assert error.reason is reason
    assert "10.0.0.1" not in error.message


def test_details_that_contradict_the_status_are_ignored() -> None:
    error = error_of(ServiceError(Reason.AGENT_NOT_FOUND, "a"), details="b")
    assert service_error_from_rpc(error).reason is Reason.INTERNAL


@pytest.mark.parametrize("info", [{"domain": "other.example"}, {"reason": "NO_SUCH_REASON"}])
def test_details_of_another_system_are_ignored(info: dict[str, str]) -> None:
    status = service_error_to_status(ServiceError(Reason.AGENT_NOT_FOUND, "a"))
    given = {"domain": DOMAIN, "reason": "AGENT_NOT_FOUND"} | info
    status.details[0].Pack(error_details_pb2.ErrorInfo(**given))
    error = grpc.aio.AioRpcError(
        grpc.StatusCode.NOT_FOUND,
        grpc.aio.Metadata(),
        trailing_metadata=grpc.aio.Metadata(*status_metadata(status)),
        details="a",
    )
    assert service_error_from_rpc(error).reason is Reason.INTERNAL


def test_first_violation_is_kept_however_long_it_is() -> None:
    violation = FieldViolation("\N{GRINNING FACE}" * 2000, "\N{GRINNING FACE}" * 2000)
    status = service_error_to_status(ServiceError(Reason.FIELD_INVALID, "m", violations=[violation] * 2))
    bad_request = error_details_pb2.BadRequest()
    assert [detail.Unpack(bad_request) for detail in status.details].count(True) == 1
    assert len(bad_request.field_violations) == 1


def retry_seconds(error: ServiceError) -> float | None:
    retry = error_details_pb2.RetryInfo()
    found = [detail for detail in service_error_to_status(error).details if detail.Unpack(retry)]
    return retry.retry_delay.ToTimedelta().total_seconds() if found else None


def test_retryable_errors_have_a_retry_delay() -> None:
    assert retry_seconds(ServiceError(Reason.RATE_LIMITED, "m", metadata={"retry_after_seconds": "7"})) == 7
    assert retry_seconds(ServiceError(Reason.RATE_LIMITED, "m")) == 1
    assert retry_seconds(ServiceError(Reason.SESSION_STOPPING, "m"))
    assert retry_seconds(ServiceError(Reason.ETAG_MISMATCH, "m")) is None


def test_status_fits_into_the_metadata_limit_of_clients() -> None:
    violations = [FieldViolation("f" * 2000, "é" * 2000)] * 50
    status = service_error_to_status(ServiceError(Reason.FIELD_INVALID, "ü" * 9000, violations=violations))
    assert len(status.SerializeToString()) + len(status.message.encode()) * 3 < 8192
