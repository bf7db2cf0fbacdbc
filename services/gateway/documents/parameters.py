"""The parameters of operations, for the OpenAPI document."""

import re
from typing import Any

from services.gateway.models.shape import COMMAND_ID_PATTERN, ID_PATTERN, Query, list_parameters
from services.gateway.routes.operation import Operation

_PATH_NAME = re.compile(r"\{(\w+)\}")


def path_parameters(path: str) -> list[dict[str, Any]]:
    """Describe the parameters within a path."""
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": COMMAND_ID_PATTERN if name == "commandId" else ID_PATTERN},
        }
        for name in _PATH_NAME.findall(path)
    ]


def query_parameters(model: type[Query]) -> list[dict[str, Any]]:
    """Describe a query's parameters; none is required."""
    lists = list_parameters(model)
    described = []
    for name, schema in model.model_json_schema().get("properties", {}).items():
        plain = _without_null(schema)
        parameter: dict[str, Any] = {"name": name, "in": "query", "required": False, "schema": plain}
        if "description" in schema:
            parameter["description"] = schema["description"]
        if name in lists:
            parameter |= {"style": "form", "explode": not lists[name]}
        described.append(parameter)
    return described


def header_parameters(operation: Operation) -> list[dict[str, Any]]:
    """Describe the headers that an operation reads."""
    described = [_header("X-Request-Id", r"^[A-Za-z0-9._-]{1,128}$", "Names the request in logs; made when not given.")]
    if operation.changes:
        described.append(
            _header("Idempotency-Key", r"^[!-~]{1,128}$", "The same key and request give the same answer for 24 h.")
        )
    if operation.conditional:
        described.append(_header("If-Match", None, "Changes only the version of this ETag."))
    if operation.follow is not None:
        described.append(_header("Last-Event-ID", None, "Resume after this event; it wins over `from`."))
    return described


def _header(name: str, pattern: str | None, description: str) -> dict[str, Any]:
    schema = {"type": "string", **({"pattern": pattern} if pattern else {})}
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a parameter's schema: one that is absent is left out, and never null."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) == 1:
        return dict(kinds[0])
    return {name: value for name, value in schema.items() if name not in ("default", "title", "description")}
