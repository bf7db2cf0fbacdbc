"""Collects the data for the templates: resources, and the types that their methods take and return."""

from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, EnumDescriptor, ServiceDescriptor

from tools.protos.clients.answers import further_fields, resource_field, returned_messages
from tools.protos.clients.fields import (
    GivenField,
    ReturnedField,
    TypeNames,
    given_field,
    reader_name,
    returned_field,
    table_name,
)
from tools.protos.clients.methods import (
    ClientMethod,
    client_methods,
    describe_method,
    flattened_field,
    parameter_sources,
)
from tools.protos.clients.names import module_of, package_of, word
from tools.protos.clients.schema import GeneratorError, Schema, map_value, own_messages
from tools.protos.clients.services import attributes, resource_name

_TYPES_MODULE = "_types."  # no parameter has this name


@dataclass(frozen=True, kw_only=True)
class Enum:
    """An enum of the contract: its words."""

    name: str
    comment: str
    table: str
    words: dict[int, str]
    comments: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Returned:
    """A message in answers: a dataclass, and the function that reads it."""

    name: str
    comment: str
    message: str
    reader: str
    base: str
    """The type that it extends, empty for most messages."""
    base_read: str
    fields: list[ReturnedField]


@dataclass(frozen=True, kw_only=True)
class Given:
    """A message in requests: a typed dictionary."""

    name: str
    comment: str
    fields: list[GivenField]


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A service's methods."""

    name: str
    attributes: dict[str, str]
    """The client's attributes that hold it, each with the connection that it uses: `session` or `command`."""
    comment: str
    methods: list[ClientMethod]


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """The data for the templates."""

    imports: list[str]
    enums: list[Enum]
    returned: list[Returned]
    given: list[Given]
    resources: list[Resource]


def read_catalog(schema: Schema) -> Catalog:
    """Collect the data for the templates."""
    services = [service for service in schema.services() if service.methods]
    methods = [method for service in services for method in client_methods(service)]
    returned = _closure(message for method in methods for message in returned_messages(method))
    given = _closure(own_messages(field for method in methods for field in parameter_sources(method)))
    bodies = own_messages(field for method in methods if (field := flattened_field(method)) is not None)
    names = frozenset(message.name for message in returned)
    inputs = [method.input_type for service in services for method in service.methods]
    return Catalog(
        imports=_imports([*returned, *inputs, *(method.output_type for method in methods)]),
        enums=[_enum(schema, enum) for enum in _enums([*returned, *given, *inputs, *bodies])],
        returned=sorted((_returned(schema, message) for message in returned), key=lambda one: (one.base, one.name)),
        given=[_given(schema, message, TypeNames("", names)) for message in given],
        resources=[_resource(schema, service, TypeNames(_TYPES_MODULE, names)) for service in services],
    )


def _closure(messages: Iterable[Descriptor]) -> list[Descriptor]:
    """Return messages and all that they contain, ordered by name."""
    found: dict[str, Descriptor] = {}
    waiting = list(messages)
    while waiting:
        message = waiting.pop()
        if message.full_name not in found:
            if any(one.name == message.name for one in found.values()):
                raise GeneratorError(f"{message.full_name} has the name of another message")
            found[message.full_name] = message
            waiting += own_messages(message.fields)
    return sorted(found.values(), key=lambda message: str(message.name))


def _enums(messages: Iterable[Descriptor]) -> list[EnumDescriptor]:
    found: dict[str, EnumDescriptor] = {}
    for message in messages:
        for field in message.fields:
            item = map_value(field) or field
            if item.enum_type is not None:
                found[item.enum_type.full_name] = item.enum_type
    return sorted(found.values(), key=lambda enum: str(enum.name))


def _imports(messages: Iterable[Descriptor]) -> list[str]:
    files = {message.file.name for message in messages}
    return sorted(f"from {package_of(file)} import {module_of(file)}" for file in files)


def _enum(schema: Schema, enum: EnumDescriptor) -> Enum:
    words = {value.number: word(enum.full_name, value.name) for value in enum.values if value.number}
    comments = {
        word(enum.full_name, value.name): schema.comment(f"{enum.full_name}.{value.name}")
        for value in enum.values
        if value.number
    }
    return Enum(
        name=enum.name, comment=schema.comment(enum.full_name), table=table_name(enum.name), words=words,
        comments=comments,
    )  # fmt: skip


def _returned(schema: Schema, message: Descriptor) -> Returned:
    names = TypeNames("", frozenset())
    resource = resource_field(message) if message.name.endswith("Response") else None
    base = resource.message_type if resource is not None else None
    fields = further_fields(message) if base is not None else list(message.fields)
    return Returned(
        name=message.name,
        comment=schema.comment(message.full_name),
        message=f"{module_of(message.file.name)}.{message.name}",
        reader=reader_name(message),
        base=base.name if base is not None else "",
        base_read=f"{reader_name(base)}(message.{resource.name})" if resource is not None and base is not None else "",
        fields=[returned_field(schema, field, names) for field in fields],
    )


def _given(schema: Schema, message: Descriptor, names: TypeNames) -> Given:
    fields = [given_field(schema, field, names) for field in message.fields if not schema.is_output_only(field)]
    return Given(name=f"{message.name}Input", comment=schema.comment(message.full_name), fields=fields)


def _resource(schema: Schema, service: ServiceDescriptor, names: TypeNames) -> Resource:
    methods = [describe_method(schema, method, names) for method in client_methods(service)]
    return Resource(
        name=resource_name(service), attributes=attributes(service), comment=schema.comment(service.full_name),
        methods=methods,
    )  # fmt: skip
