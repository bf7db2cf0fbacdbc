"""The answers of operations, for the OpenAPI document."""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from libs.errors import HTTP_STATUS, Reason
from services.gateway.edge.problems import PROBLEM_JSON
from services.gateway.routes.operation import Answer, Operation

_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_SHARED = (
    Reason.CREDENTIALS_MISSING,
    Reason.CREDENTIALS_INVALID,
    Reason.ROLE_REQUIRED,
    Reason.FIELD_INVALID,
    Reason.PAYLOAD_TOO_LARGE,
    Reason.RATE_LIMITED,
    Reason.DATABASE_UNAVAILABLE,
    Reason.SERVICE_UNAVAILABLE,
    Reason.SHUTTING_DOWN,
    Reason.DEADLINE_EXCEEDED,
    Reason.INTERNAL,
)
_OF_CHANGES = (
    Reason.JSON_INVALID,
    Reason.MEDIA_TYPE_UNSUPPORTED,
    Reason.IDEMPOTENCY_KEY_IN_USE,
    Reason.IDEMPOTENCY_KEY_REUSED,
)
_STREAM = {"type": "string", "description": "`id` is the cursor, `event` the type, `data` the event on one line."}
_HEADER_TEXTS = {
    "ETag": "The version, for If-Match.",
    "Location": "Where the resource is.",
    "X-Request-Id": "The request's name in logs.",
    "Idempotency-Key": "The key that was given.",
    "WWW-Authenticate": "Bearer.",
    "Retry-After": "How many seconds to wait.",
}


def responses(operation: Operation, reference: Callable[[type[BaseModel]], dict[str, Any]]) -> dict[str, Any]:
    """Describe everything that an operation answers, problems included."""
    described = {str(status): _answer(operation, answer, reference) for status, answer in operation.answers.items()}
    by_status: dict[int, list[str]] = {}
    for reason in _reasons(operation):
        by_status.setdefault(HTTP_STATUS[reason], []).append(reason)
    for status, reasons in sorted(by_status.items()):
        described[str(status)] = _problem(status, sorted(set(reasons)), operation)
    return described


def public_paths() -> dict[str, Any]:
    """Describe the pages that need no key."""
    return {
        "/healthz": {"get": _page("getHealth", "Whether the gateway is alive", {"200": _json("Health")})},
        "/readyz": {
            "get": _page(
                "getReadiness", "How ready the suite is", {"200": _json("Readiness"), "503": _json("Readiness")}
            )
        },
        "/metrics": {"get": _page("getMetrics", "Metrics for Prometheus", {"200": _text("text/plain")})},
        "/openapi.json": {"get": _page("getOpenApi", "This document", {"200": _object()})},
        "/docs": {"get": _page("getDocs", "This document, to read", {"200": _text("text/html")})},
    }


def _reasons(operation: Operation) -> list[Reason]:
    own = [*_SHARED, *operation.errors]
    if operation.changes:
        own += _OF_CHANGES
    if operation.conditional:
        own.append(Reason.ETAG_MISMATCH)
    names = operation.query.model_fields
    if "page_token" in names:
        own.append(Reason.PAGE_TOKEN_INVALID)
    if operation.follow is not None:
        own.append(Reason.CURSOR_INVALID)
    return own


def _answer(
    operation: Operation, answer: Answer, reference: Callable[[type[BaseModel]], dict[str, Any]]
) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if answer.model is not None:
        content["application/json"] = {"schema": reference(answer.model)}
    if answer.streams:
        content["text/event-stream"] = {"schema": _STREAM}
    described: dict[str, Any] = {"description": answer.description, "headers": _headers(operation, *answer.headers)}
    return {**described, "content": content} if content else described


def _problem(status: int, reasons: list[str], operation: Operation) -> dict[str, Any]:
    more = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}.get(status, ())
    return {
        "description": ", ".join(f"`{reason}`" for reason in reasons),
        "headers": _headers(operation, *more),
        "content": {PROBLEM_JSON: {"schema": _PROBLEM}},
    }


def _headers(operation: Operation, *names: str) -> dict[str, Any]:
    shared = ("X-Request-Id", "Idempotency-Key") if operation.changes else ("X-Request-Id",)
    return {name: {"description": _HEADER_TEXTS[name], "schema": {"type": "string"}} for name in (*shared, *names)}


def _page(name: str, summary: str, answers: dict[str, Any]) -> dict[str, Any]:
    return {"operationId": name, "tags": ["Service"], "summary": summary, "security": [], "responses": answers}


def _json(model: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{model}"}
    return {"description": model, "content": {"application/json": {"schema": schema}}}


def _text(media_type: str) -> dict[str, Any]:
    return {"description": "Text.", "content": {media_type: {"schema": {"type": "string"}}}}


def _object() -> dict[str, Any]:
    return {"description": "The document.", "content": {"application/json": {"schema": {"type": "object"}}}}
