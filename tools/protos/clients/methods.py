"""Describes a method of the contract on the clients: its name, parameters, request and answer."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import takewhile

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor

from tools.protos.clients.answers import Answer, describe_answer, is_list, item_type
from tools.protos.clients.fields import (
    GivenField,
    TypeNames,
    given_field,
    python_name,
)
from tools.protos.clients.names import method_name, module_of, resource_noun
from tools.protos.clients.schema import GeneratorError, Schema

WRITTEN_BY_HAND = {"callboard.events.v1.EventService.StreamEvents"}  # `follow`, which resumes on its own
_UNREAD = {"callboard.agents.v1.Agent.connector": '{"kind": "echo"}'}
"""Placeholders for fields that the contract requires in an update too, but ignores when the mask omits them."""
_KEY = "request_id"
_ETAG = "etag"
_OWN_PARAMETERS = {"self", "timeout"}


@dataclass(frozen=True, kw_only=True)
class ClientMethod:
    """One method of a client's resource."""

    name: str
    comment: str
    path: str
    request: str
    response: str
    repeatable: bool
    """Whether it may be sent again when its outcome is unknown."""
    positional: list[GivenField]
    keywords: list[GivenField]
    changes: list[str]
    """The names of the parameters in an update mask, empty when there is none."""
    arguments: dict[str, str]
    """The request's fields, each with the expression of its value."""
    answer: Answer
    is_list: bool

    @property
    def item_type(self) -> str:
        """The type of the items of a list."""
        return item_type(self.answer)


def client_methods(service: ServiceDescriptor) -> list[MethodDescriptor]:
    """Return the methods to generate. Raises GeneratorError for a stream that is not written by hand."""
    for method in service.methods:
        if (method.server_streaming or method.client_streaming) and method.full_name not in WRITTEN_BY_HAND:
            raise GeneratorError(f"{method.full_name} is a stream: write it by hand, and list it in methods.py")
    return [method for method in service.methods if method.full_name not in WRITTEN_BY_HAND]


def flattened_field(method: MethodDescriptor) -> FieldDescriptor | None:
    """Return the field of a request that holds the resource. The resource's fields become the method's parameters."""
    noun = resource_noun(method.containing_service.name)
    bodies = {noun, f"{noun}Spec"}
    found = [
        field
        for field in method.input_type.fields
        if field.message_type is not None and not field.is_repeated and field.message_type.name in bodies
    ]
    return found[0] if found else None


def parameter_sources(method: MethodDescriptor) -> list[FieldDescriptor]:
    """Return the fields that become parameters: those of the request, and those of the resource in it."""
    body = flattened_field(method)
    outer = [field for field in method.input_type.fields if field != body]
    return outer + (_body_fields(body) if body is not None else [])


def describe_method(schema: Schema, method: MethodDescriptor, names: TypeNames) -> ClientMethod:
    """Describe a method. Raises GeneratorError when two of its parameters have one name."""
    sources = list(_parameter_fields(schema, method))
    parameters = [replace(given_field(schema, field, names), required=required) for field, required in sources]
    _check_names(method, parameters)
    leading = _count_positional(schema, [field for field, _ in sources])
    service = method.containing_service
    return ClientMethod(
        name=method_name(service.name, method.name, set(service.methods_by_name)),
        comment=schema.comment(method.full_name),
        path=f"/{service.full_name}/{method.name}",
        request=_message_name(method.input_type),
        response=_message_name(method.output_type),
        repeatable=schema.is_read(method) or _has_keys(method.input_type),
        positional=parameters[:leading],
        keywords=parameters[leading:],
        changes=_changes(schema, method),
        arguments=dict(_arguments(schema, method)),
        answer=describe_answer(schema, method, names),
        is_list=is_list(method),
    )


def _parameter_fields(schema: Schema, method: MethodDescriptor) -> Iterator[tuple[FieldDescriptor, bool]]:
    """Yield the fields that become parameters, and whether each is required."""
    flattened, mask = flattened_field(method), _mask_field(method)
    for field in method.input_type.fields:
        if field == flattened:
            for inner in _flattened_fields(schema, method, field):
                is_change = mask is not None and inner.name in schema.mask_paths(mask)
                yield inner, schema.is_required(inner) and not is_change
        elif field != mask:
            yield field, schema.is_required(field)


def _flattened_fields(schema: Schema, method: MethodDescriptor, body: FieldDescriptor) -> list[FieldDescriptor]:
    fields = _body_fields(body)
    is_update = _mask_field(method) is not None
    return [field for field in fields if not schema.is_output_only(field) or (is_update and field.name == _ETAG)]


def _body_fields(body: FieldDescriptor) -> list[FieldDescriptor]:
    return list(body.message_type.fields) if body.message_type is not None else []


def _mask_field(method: MethodDescriptor) -> FieldDescriptor | None:
    return method.input_type.fields_by_name.get("update_mask")


def _changes(schema: Schema, method: MethodDescriptor) -> list[str]:
    mask = _mask_field(method)
    return schema.mask_paths(mask) if mask is not None else []


def _arguments(schema: Schema, method: MethodDescriptor) -> Iterator[tuple[str, str]]:
    """Yield each field of the request with the expression of its value."""
    flattened, mask = flattened_field(method), _mask_field(method)
    for field in method.input_type.fields:
        if field == mask:
            yield field.name, "list(changes)"
        elif field == flattened:
            inner = _flattened_fields(schema, method, field)
            changes = _changes(schema, method)
            given = ", ".join(f"{python_name(one)}={_value(one)}" for one in inner if one.name not in changes)
            yield field.name, f"given({given}, **{_merged(schema, inner)})" if changes else f"given({given}) or None"
        else:
            yield python_name(field), _value(field)


def _merged(schema: Schema, fields: list[FieldDescriptor]) -> str:
    """Return the expression of the changes, with placeholders for the required fields that they omit."""
    required = [field for field in fields if schema.is_required(field) and field.message_type is not None]
    missing = [field.full_name for field in required if field.full_name not in _UNREAD]
    if missing:
        raise GeneratorError(f"{missing[0]} is required in an update: add a placeholder for it in methods.py")
    unread = ", ".join(f'"{python_name(field)}": {_UNREAD[field.full_name]}' for field in required)
    return f"{{{unread}, **changes}}" if required else "changes"


def _value(field: FieldDescriptor) -> str:
    name = python_name(field)
    if name == _KEY:
        return f"{name} or new_request_id()"
    if field.is_repeated and field.message_type is not None and _has_keys(field.message_type):
        return f"with_request_ids({name})"
    return name


def _has_keys(message: Descriptor) -> bool:
    """Return whether a request has an idempotency key, itself or in each of its parts."""
    own = [field.message_type for field in message.fields if field.message_type is not None]
    return _KEY in message.fields_by_name or any(_KEY in one.fields_by_name for one in own)


def _count_positional(schema: Schema, fields: list[FieldDescriptor]) -> int:
    """Return how many leading parameters are positional: an id, and the items of the call."""
    leads = bool(fields) and fields[0].index == 0 and _is_plain_id(fields[0])
    rest = fields[1:] if leads else fields
    items = takewhile(lambda field: field.is_repeated and schema.is_required(field), rest)
    return int(leads) + len(list(items))


def _is_plain_id(field: FieldDescriptor) -> bool:
    is_id = field.cpp_type == FieldDescriptor.CPPTYPE_STRING and field.name.endswith("_id")
    return bool(is_id and not field.is_repeated and field.containing_oneof is None)


def _check_names(method: MethodDescriptor, parameters: list[GivenField]) -> None:
    seen = set(_OWN_PARAMETERS)
    for parameter in parameters:
        if parameter.name in seen:
            raise GeneratorError(f"{method.full_name} would have two parameters `{parameter.name}`")
        seen.add(parameter.name)


def _message_name(message: Descriptor) -> str:
    return f"{module_of(message.file.name)}.{message.name}"
