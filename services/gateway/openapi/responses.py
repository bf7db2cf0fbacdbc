"""The responses of operations, for the OpenAPI document."""

from typing import Any

from libs.contract.documents import successes
from libs.contract.schemas import Schemas
from libs.errors import HTTP_STATUS, Reason
from services.gateway.http.problems import PROBLEM_JSON
from services.gateway.rest.routes import Route

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
_ENDED = "The session has ended, and the client has received all of its events."
_HEADER_TEXTS = {
    "ETag": "The version of the resource, for If-Match.",
    "Location": "The path of the resource.",
    "X-Request-Id": "The id of the request in logs.",
    "Idempotency-Key": "The key of the request.",
    "WWW-Authenticate": "Bearer.",
    "Retry-After": "The number of seconds to wait.",
}


def responses(route: Route, schemas: Schemas) -> dict[str, Any]:
    """Describe the responses of an operation, including its problems."""
    described = {str(status): _success(route, success) for status, success in _successes(route, schemas).items()}
    by_status: dict[int, list[str]] = {}
    for reason in _reasons(route):
        by_status.setdefault(HTTP_STATUS[reason], []).append(reason)
    for status, reasons in sorted(by_status.items()):
        described[str(status)] = _problem(status, sorted(set(reasons)), route)
    return described


def public_paths() -> dict[str, Any]:
    """Describe the pages that need no API key."""
    return {
        "/healthz": {"get": _page("getHealth", "Whether the gateway is alive", {"200": _json("Health")})},
        "/readyz": {
            "get": _page(
                "getReadiness", "How ready the suite is", {"200": _json("Readiness"), "503": _json("Readiness")}
            )
        },
        "/metrics": {"get": _page("getMetrics", "Metrics for Prometheus", {"200": _text("text/plain")})},
        "/openapi.json": {"get": _page("getOpenApi", "This document", {"200": _object()})},
        "/docs": {"get": _page("getDocs", "This document as HTML", {"200": _text("text/html")})},
    }


def _successes(route: Route, schemas: Schemas) -> dict[int, dict[str, Any]]:
    """Describe the successes. An operation that streams responds with events, or with 204 when none are left."""
    described = successes(route.operation, schemas)
    if route.follow is None:
        return described
    stream = {"text/event-stream": {"schema": _STREAM}}
    if route.operation.method.server_streaming:
        return {
            200: {
                "description": "Server-Sent Events. Comments keep the connection alive.",
                "headers": [],
                "content": stream,
            }
        }
    described[200]["content"] |= stream
    described[200]["description"] = "A page of events, oldest first, or Server-Sent Events."
    return {**described, 204: {"description": _ENDED, "headers": []}}


def _success(route: Route, success: dict[str, Any]) -> dict[str, Any]:
    return success | {"headers": _headers(route, *success["headers"])}


def _reasons(route: Route) -> list[Reason]:
    operation = route.operation
    reasons = [*_SHARED, *(Reason[name] for name in operation.option.reasons)]
    if operation.changes:
        reasons += _OF_CHANGES
    if operation.option.if_match:
        reasons.append(Reason.ETAG_MISMATCH)
    if not operation.changes and "page_token" in operation.method.input_type.fields_by_name:
        reasons.append(Reason.PAGE_TOKEN_INVALID)
    if route.follow is not None:
        reasons.append(Reason.CURSOR_INVALID)
    return reasons


def _problem(status: int, reasons: list[str], route: Route) -> dict[str, Any]:
    more = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}.get(status, ())
    return {
        "description": ", ".join(f"`{reason}`" for reason in reasons),
        "headers": _headers(route, *more),
        "content": {PROBLEM_JSON: {"schema": _PROBLEM}},
    }


def _headers(route: Route, *names: str) -> dict[str, Any]:
    shared = ("X-Request-Id", "Idempotency-Key") if route.operation.changes else ("X-Request-Id",)
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
