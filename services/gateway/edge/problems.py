"""The one place where refusals become HTTP problems (RFC 9457)."""

from collections.abc import Mapping

import orjson

from libs.errors import HTTP_STATUS, Reason, ServiceError
from services.gateway.edge.answers import Sent
from services.gateway.translation.fields import metadata_in_rest_words

PROBLEM_JSON = "application/problem+json"
_TRY_AGAIN_SECONDS = "1"


def problem(refusal: ServiceError, instance: str, headers: Mapping[str, str] | None = None) -> Sent:
    """Write a refusal; what its reason has to tell besides becomes members of its own."""
    reason = refusal.reason
    status = HTTP_STATUS[reason]
    value = {
        **metadata_in_rest_words(refusal.metadata),
        "type": problem_type(reason),
        "title": reason.replace("_", " ").capitalize(),
        "status": status,
        "detail": refusal.message,
        "reason": str(reason),
        "errors": [{"field": found.field, "rule": found.rule} for found in refusal.violations],
        "instance": instance,
    }
    return Sent(status, orjson.dumps(value), PROBLEM_JSON, {**_own_headers(refusal, status), **(headers or {})}, reason)


def problem_type(reason: Reason) -> str:
    """Return the URI of a reason's kind of problem."""
    return f"urn:callboard:problem:{reason.lower().replace('_', '-')}"


def _own_headers(error: ServiceError, status: int) -> dict[str, str]:
    headers = {"Cache-Control": "no-store"}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status in (429, 503):
        given = error.metadata.get("retry_after_seconds", "")
        headers["Retry-After"] = given if given.isdecimal() else _TRY_AGAIN_SECONDS
    return headers
