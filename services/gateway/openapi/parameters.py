"""The headers that operations read, for the OpenAPI document."""

from typing import Any

from services.gateway.rest.routes import Route


def header_parameters(route: Route) -> list[dict[str, Any]]:
    """Describe the headers that an operation reads."""
    described = [_header("X-Request-Id", r"^[A-Za-z0-9._-]{1,128}$", "Names the request in logs; made when not given.")]
    if route.operation.changes:
        described.append(
            _header("Idempotency-Key", r"^[!-~]{1,128}$", "The same key and request give the same answer for 24 h.")
        )
    if route.operation.option.if_match:
        described.append(_header("If-Match", None, "Changes only the version of this ETag."))
    if route.follow is not None:
        described.append(_header("Last-Event-ID", None, "Resume after this event; it wins over `from`."))
    return described


def _header(name: str, pattern: str | None, description: str) -> dict[str, Any]:
    schema = {"type": "string", **({"pattern": pattern} if pattern else {})}
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}
