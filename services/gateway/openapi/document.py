"""Builds the OpenAPI document from the contract's operations."""

from collections.abc import Sequence
from typing import Any

from libs.contract.documents import body_schema, parameters
from libs.contract.schemas import Schemas
from libs.contract.slots import Limits, scope_of
from services.gateway.openapi.parameters import header_parameters
from services.gateway.openapi.responses import public_paths, responses
from services.gateway.openapi.schemas import OWN_SCHEMAS
from services.gateway.rest.reader import needs_body
from services.gateway.rest.routes import Route

_ABOUT = (
    "Durable sessions, reliable commands and a live work stream for AI agents. Errors are problems (RFC 9457) and are "
    "reported in this order: 401, 413, 400, 403, then those that depend on the resource's state. Times are RFC 3339 "
    "in UTC."
)


def describe(routes: Sequence[Route], version: str = "1") -> dict[str, Any]:
    """Return the OpenAPI document of routes."""
    schemas = Schemas()
    schemas.definitions |= OWN_SCHEMAS
    for route in routes:  # first, so that responses get the plain names
        schemas.written(route.operation.answer) if route.operation.answer.fields else None
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operation = route.operation
        for number, path in enumerate((operation.path, *operation.aliases)):
            name = operation.id if number == 0 else f"{operation.id}Unversioned"
            paths.setdefault(path, {})[operation.verb.lower()] = _operation(route, name, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Callboard", "version": version, "description": _ABOUT, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": {**paths, **public_paths()},
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key."}},
            "schemas": dict(sorted(schemas.definitions.items())),
        },
    }


def _operation(route: Route, name: str, schemas: Schemas) -> dict[str, Any]:
    operation = route.operation
    described: dict[str, Any] = {
        "operationId": name,
        "tags": [operation.option.tag],
        "summary": operation.option.summary,
        "parameters": [*parameters(operation, schemas, route.more_query), *header_parameters(route)],
        "responses": responses(route, schemas),
    }
    if operation.has_body:
        schema = body_schema(operation, schemas)
        if route.other_body is not None:
            other = schemas.given(route.other_body.name, scope_of(route.other_body, Limits(is_whole=True)))
            schema = {"anyOf": [schema, other]}
        described["requestBody"] = {
            "required": needs_body(scope_of(operation.method.input_type, operation.limits)),
            "content": {"application/json": {"schema": schema}},
        }
    return described
