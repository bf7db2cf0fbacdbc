"""Describes a field of the contract in Python: its name, and its types in requests and in answers."""

import re
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from tools.protos.clients.names import snake
from tools.protos.clients.schema import Schema, map_value

_SCALARS = {
    FieldDescriptor.CPPTYPE_STRING: "str",
    FieldDescriptor.CPPTYPE_BOOL: "bool",
    FieldDescriptor.CPPTYPE_INT32: "int",
    FieldDescriptor.CPPTYPE_INT64: "int",
    FieldDescriptor.CPPTYPE_DOUBLE: "float",
}
_GIVEN = {"google.protobuf.Timestamp": "datetime", "google.protobuf.Duration": "timedelta | float"}
_RETURNED = {"google.protobuf.Timestamp": "datetime", "google.protobuf.Duration": "timedelta"}
_READERS = {"google.protobuf.Timestamp": "read_time", "google.protobuf.Duration": "read_span"}
_JSON = "_json"


@dataclass(frozen=True, kw_only=True)
class ReturnedField:
    """A field of an answer."""

    name: str
    type: str
    comment: str
    read: str
    """The expression that reads it from `message`."""


@dataclass(frozen=True, kw_only=True)
class GivenField:
    """A field of a request."""

    name: str
    type: str
    comment: str
    required: bool


def python_name(field: FieldDescriptor) -> str:
    """Return a field's name. JSON text becomes a value in Python, so its name loses the suffix."""
    return field.name.removesuffix(_JSON) if _is_json(field) else field.name


@dataclass(frozen=True)
class TypeNames:
    """How generated code names the generated types: the prefix of the names, and the messages that are returned."""

    prefix: str
    returned: frozenset[str]

    @property
    def list(self) -> str:
        """Return the name of the list type. In a class with a method `list` it needs a prefix."""
        return "builtins.list" if self.prefix else "list"

    def of(self, name: str) -> str:
        """Return the name of an enum's or an answer's type."""
        return f"{self.prefix}{name}"

    def given(self, message: str) -> str:
        """Return the type of a message in requests: a dictionary, or a value from an answer."""
        as_returned = f" | {self.prefix}{message}" if message in self.returned else ""
        return f"{self.prefix}{message}Input{as_returned}"


def given_field(schema: Schema, field: FieldDescriptor, names: TypeNames) -> GivenField:
    """Describe a field of a request."""
    comment = schema.comment(field.full_name)
    if _is_json(field):
        comment = comment.replace("the text of a JSON", "a JSON")
    comment = comment.replace(" Output only.", "")
    return GivenField(
        name=python_name(field),
        type=_given_type(field, names),
        comment=re.sub(r"\b[Aa]bsent (?=means)", "None ", comment),
        required=schema.is_required(field),
    )


def returned_field(schema: Schema, field: FieldDescriptor, names: TypeNames) -> ReturnedField:
    """Describe a field of an answer."""
    comment = schema.comment(field.full_name)
    optional = can_miss(schema, field)
    read, type_ = _read_expression(field), _returned_type(field, names)
    if _is_json(field):
        comment = comment.replace("the text of a JSON", "a JSON").replace("empty when", "None when")
    return ReturnedField(
        name=python_name(field),
        type=f"{type_} | None" if optional else type_,
        comment=re.sub(r"\b[Aa]bsent\b", "None", comment),
        read=f'{read} if message.HasField("{field.name}") else None' if optional else read,
    )


def can_miss(schema: Schema, field: FieldDescriptor) -> bool:
    """Return whether a field of an answer may be missing: its comment says `absent`, or it is in a oneof."""
    if field.containing_oneof is not None:
        return True
    is_message = field.message_type is not None and not field.is_repeated
    return is_message and re.search(r"\b[Aa]bsent\b", schema.comment(field.full_name)) is not None


def reader_name(message: Descriptor) -> str:
    """Return the name of the function that reads a message."""
    return f"read_{snake(message.name)}"


def _is_json(field: FieldDescriptor) -> bool:
    return field.cpp_type == FieldDescriptor.CPPTYPE_STRING and bool(field.name.endswith(_JSON))


def _given_type(field: FieldDescriptor, names: TypeNames) -> str:
    value = map_value(field)
    if value is not None:
        return f"Mapping[str, {_given_item(value, names)}]"
    item = _given_item(field, names)
    return f"Sequence[{item}]" if field.is_repeated else item


def _given_item(field: FieldDescriptor, names: TypeNames) -> str:
    if _is_json(field):
        return "Mapping[str, Any]"
    if field.enum_type is not None:
        return names.of(field.enum_type.name)
    if field.message_type is not None:
        return _GIVEN.get(field.message_type.full_name) or names.given(field.message_type.name)
    return _SCALARS[field.cpp_type]


def _returned_type(field: FieldDescriptor, names: TypeNames) -> str:
    value = map_value(field)
    if value is not None:
        return f"dict[str, {_returned_item(value, names)}]"
    item = _returned_item(field, names)
    return f"{names.list}[{item}]" if field.is_repeated else item


def _returned_item(field: FieldDescriptor, names: TypeNames) -> str:
    if _is_json(field):
        return "Any"
    if field.enum_type is not None:
        return names.of(field.enum_type.name)
    if field.message_type is not None:
        return _RETURNED.get(field.message_type.full_name) or names.of(field.message_type.name)
    return _SCALARS[field.cpp_type]


def _read_expression(field: FieldDescriptor) -> str:
    source = f"message.{field.name}"
    value = map_value(field)
    if value is not None:
        item = _read_item(value, "value")
        return f"dict({source})" if item == "value" else f"{{key: {item} for key, value in {source}.items()}}"
    if field.is_repeated:
        item = _read_item(field, "item")
        return f"list({source})" if item == "item" else f"[{item} for item in {source}]"
    return _read_item(field, source)


def _read_item(field: FieldDescriptor, source: str) -> str:
    if _is_json(field):
        return f"read_json({source})"
    if field.enum_type is not None:
        return f"read_word({table_name(field.enum_type.name)}, {source})"
    if field.message_type is not None:
        return f"{_READERS.get(field.message_type.full_name) or reader_name(field.message_type)}({source})"
    return source


def table_name(enum: str) -> str:
    """Return the name of the table of an enum's words by number."""
    return f"{snake(enum).upper()}_WORDS"
