"""The OpenAPI document, made of the same table that requests are served from."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.gateway.documents.answers import public_paths, responses
from services.gateway.documents.parameters import header_parameters, path_parameters, query_parameters
from services.gateway.models.health import Health, Problem, Readiness
from services.gateway.routes.operation import Operation

_REF = "#/components/schemas/{model}"
_ABOUT = (
    "Durable sessions, reliable commands and a live work stream for AI agents. Refusals are problems (RFC 9457) and "
    "are decided in this order: 401, 413, 400, 403, then what the resource's state says. Times are RFC 3339 in UTC."
)


def describe(operations: Sequence[Operation], version: str = "1") -> dict[str, Any]:
    """Return the document."""
    schemas = _Schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        for number, path in enumerate((operation.path, *operation.aliases)):
            name = operation.name if number == 0 else f"{operation.name}Unversioned"
            paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, path, name, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Callboard", "version": version, "description": _ABOUT, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": {**paths, **public_paths()},
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key."}},
            "schemas": schemas.definitions,
        },
    }


class _Schemas:
    """The schemas of all bodies and answers, and references to them."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        bodies = {body for one in operations for body in (one.body, one.other_body) if body is not None}
        shapes = {answer.model for one in operations for answer in one.answers.values() if answer.model is not None}
        shapes |= {Health, Problem, Readiness}
        named = sorted(
            [*((body, "validation") for body in bodies), *((shape, "serialization") for shape in shapes)],
            key=lambda pair: pair[0].__name__,
        )
        self._references, made = models_json_schema(named, ref_template=_REF)  # type: ignore[arg-type]
        self.definitions: dict[str, Any] = made["$defs"]

    def body(self, model: type[BaseModel]) -> dict[str, Any]:
        return self._references[model, "validation"]

    def answer(self, model: type[BaseModel]) -> dict[str, Any]:
        return self._references[model, "serialization"]


def _operation(operation: Operation, path: str, name: str, schemas: _Schemas) -> dict[str, Any]:
    parameters = [*path_parameters(path), *query_parameters(operation.query), *header_parameters(operation)]
    described: dict[str, Any] = {
        "operationId": name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": parameters,
        "responses": responses(operation, schemas.answer),
    }
    if operation.body is not None:
        schema = schemas.body(operation.body)
        if operation.other_body is not None:
            schema = {"anyOf": [schema, schemas.body(operation.other_body)]}
        described["requestBody"] = {
            "required": operation.body_required,
            "content": {"application/json": {"schema": schema}},
        }
    return described
