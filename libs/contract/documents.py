"""Describes an operation for OpenAPI 3.1: its parameters, its body and its successes."""

from collections.abc import Iterable
from typing import Any

import orjson

from libs.contract.comments import description, description_of_input
from libs.contract.fields import Field, field_at
from libs.contract.operations import Operation
from libs.contract.schemas import Schema, Schemas
from libs.contract.slots import scope_of

JsonObject = dict[str, Any]


def parameters(operation: Operation, schemas: Schemas, more_query: Iterable[Field] = ()) -> list[JsonObject]:
    """Describe the parameters of the path and the query, without headers."""
    message = operation.method.input_type
    described = [_path_parameter(name, field_at(message, path)) for name, path in operation.bound.items()]
    if operation.changes:
        return described
    slots = [(slot.name, slot.field) for slot in scope_of(message, operation.limits).slots]
    slots += [(field.name, field) for field in more_query]
    return described + [_query_parameter(name, field, schemas) for name, field in slots]


def body_schema(operation: Operation, schemas: Schemas) -> Schema:
    """Return the schema of the body that an operation takes."""
    name = f"{operation.id[0].upper()}{operation.id[1:]}Body"
    schema = schemas.given(
        name, scope_of(operation.method.input_type, operation.limits), description(operation.method.full_name)
    )
    if operation.option.example:
        schemas.definitions[name]["examples"] = [orjson.loads(operation.option.example)]
    return schema


def successes(operation: Operation, schemas: Schemas) -> dict[int, JsonObject]:
    """Describe the successes, by status. `headers` holds the names of a success's own headers."""
    about, headers = description(operation.method.output_type.full_name), ["ETag"] if operation.has_etag else []
    if operation.method.server_streaming:
        return {200: {"description": about, "headers": headers, "content": {}}}
    if operation.status == 204:
        return {204: {"description": about, "headers": headers}}
    content = {"application/json": {"schema": schemas.written(operation.answer)}}
    described = {"description": about, "headers": headers, "content": content}
    if not operation.option.location:
        return {operation.status: described}
    made = {operation.status: described | {"headers": [*headers, "Location"]}}
    if operation.option.created:
        made[200] = described | {"description": f"{about} It existed already."}
    return made


def _path_parameter(name: str, field: Field) -> JsonObject:
    schema = {"type": "string", "pattern": field.pattern}
    about = description_of_input(field)
    return {"name": name, "in": "path", "required": True, "description": about, "schema": schema}


def _query_parameter(name: str, field: Field, schemas: Schemas) -> JsonObject:
    about = description_of_input(field)
    if field.is_map:
        about += " Written `name:value`; repeat the parameter for more than one."
    described: JsonObject = {
        "name": name, "in": "query", "required": False, "description": about, "schema": schemas.parameter(field)
    }  # fmt: skip
    if field.descriptor.is_repeated:
        described |= {"style": "form", "explode": field.is_map}  # a comma separates values, except in labels
    return described
