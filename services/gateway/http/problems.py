"""The one place where errors become HTTP problems (RFC 9457)."""

import orjson

from libs.contract.values import camel
from libs.errors import HTTP_STATUS, Reason, ServiceError
from services.gateway.http.responses import Response

PROBLEM_JSON = "application/problem+json"
_TRY_AGAIN_SECONDS = "1"


def problem(error: ServiceError, instance: str) -> Response:
    """Return the problem response of an error. The error's metadata become additional members."""
    reason = error.reason
    status = HTTP_STATUS[reason]
    value = {
        **{camel(key): value for key, value in error.metadata.items()},
        "type": problem_type(reason),
        "title": reason.replace("_", " ").capitalize(),
        "status": status,
        "detail": error.message,
        "reason": str(reason),
        "errors": [{"field": found.field, "rule": found.rule} for found in error.violations],
        "instance": instance,
    }
    return Response(status, orjson.dumps(value), _headers(error, status), PROBLEM_JSON, reason)


def problem_type(reason: Reason) -> str:
    """Return the URI of the problem type of a reason."""
    return f"urn:callboard:problem:{reason.lower().replace('_', '-')}"


def _headers(error: ServiceError, status: int) -> dict[str, str]:
    headers = {"Cache-Control": "no-store"}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status in (429, 503):
        given = error.metadata.get("retry_after_seconds", "")
        headers["Retry-After"] = given if given.isdecimal() else _TRY_AGAIN_SECONDS
    return headers
