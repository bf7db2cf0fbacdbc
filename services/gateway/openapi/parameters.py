"""The headers that operations read, for the OpenAPI document."""

from typing import Any

from services.gateway.rest.routes import Route


def header_parameters(route: Route) -> list[dict[str, Any]]:
    """Describe the headers that an operation reads."""
    described = [
        _header("X-Request-Id", r"^[A-Za-z0-9._-]{1,128}$", "The id of the request in logs. Generated when not given.")
    ]
    if route.operation.changes:
        described.append(
            _header(
                "Idempotency-Key",
                r"^[!-~]{1,128}$",
                "Repeating the request with the same key within 24 h returns the same response.",
            )
        )
    if route.operation.option.if_match:
        described.append(_header("If-Match", None, "Make the change only if the ETag is still this one."))
    if route.follow is not None:
        described.append(
            _header("Last-Event-ID", None, "Resume after the event with this id. Takes precedence over `from`.")
        )
    return described


def _header(name: str, pattern: str | None, description: str) -> dict[str, Any]:
    schema = {"type": "string", **({"pattern": pattern} if pattern else {})}
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}
