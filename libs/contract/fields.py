"""The fields of messages in JSON: their names, the kinds of their values, and when they are null."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from typing import cast

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from buf.validate import validate_pb2
from callboard.options.v1 import rest_pb2

_OPTIONAL = re.compile(r"\^\((.*)\)\?\$")
_WITHOUT_NUL = r"^[^\x00]*$"  # no JSON text that is read has a NUL


class Kind(Enum):
    """The kind of a value in JSON."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ENUM = "enum"
    JSON = "json"
    TIMESTAMP = "timestamp"
    DURATION = "duration"
    FIELD_MASK = "field mask"
    MESSAGE = "message"


_PLAIN = {
    FieldDescriptor.CPPTYPE_STRING: Kind.STRING,
    FieldDescriptor.CPPTYPE_BOOL: Kind.BOOLEAN,
    FieldDescriptor.CPPTYPE_DOUBLE: Kind.NUMBER,
    FieldDescriptor.CPPTYPE_FLOAT: Kind.NUMBER,
    FieldDescriptor.CPPTYPE_INT32: Kind.INTEGER,
    FieldDescriptor.CPPTYPE_INT64: Kind.INTEGER,
    FieldDescriptor.CPPTYPE_UINT32: Kind.INTEGER,
    FieldDescriptor.CPPTYPE_UINT64: Kind.INTEGER,
}
_WELL_KNOWN = {
    "google.protobuf.Timestamp": Kind.TIMESTAMP,
    "google.protobuf.Duration": Kind.DURATION,
    "google.protobuf.FieldMask": Kind.FIELD_MASK,
}


@dataclass(frozen=True, slots=True)
class Field:
    """A field in JSON. `rules` are the contract's rules for one value: for a list, the rules of its items."""

    descriptor: FieldDescriptor
    name: str
    kind: Kind
    option: rest_pb2.FieldRule
    rules: validate_pb2.FieldRules

    @property
    def proto_name(self) -> str:
        """The field's name in the contract."""
        return self.descriptor.name

    @property
    def is_map(self) -> bool:
        """Whether it is a map."""
        return self.kind is Kind.MESSAGE and self.message.GetOptions().map_entry

    @property
    def map_value(self) -> "Field":
        """The values of a map, as a field."""
        return replace(field_of(self.message.fields_by_name["value"]), rules=self.own_rules.map.values)

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return self.descriptor.is_repeated and not self.is_map

    @property
    def message(self) -> Descriptor:
        """The message type of its values."""
        return cast(Descriptor, self.descriptor.message_type)

    @property
    def enum(self) -> EnumDescriptor:
        """The enum type of its values."""
        return cast(EnumDescriptor, self.descriptor.enum_type)

    @property
    def own_rules(self) -> validate_pb2.FieldRules:
        """The contract's rules for the field as a whole."""
        return self.descriptor.GetOptions().Extensions[validate_pb2.field]

    @property
    def is_output_only(self) -> bool:
        """Whether callers cannot set it."""
        behaviour = self.descriptor.GetOptions().Extensions[field_behavior_pb2.field_behavior]
        return field_behavior_pb2.OUTPUT_ONLY in behaviour

    @property
    def is_required(self) -> bool:
        """Whether a request must give it: the contract's rules reject an empty value."""
        own = self.own_rules
        if self.descriptor.containing_oneof is not None:
            return False
        if own.required or own.repeated.min_items:
            return True
        if self.kind is not Kind.STRING or self.descriptor.has_presence or self.descriptor.is_repeated:
            return False
        text = own.string
        return bool(getattr(text, "in")) or text.min_len > 0 or not re.fullmatch(text.pattern, "")

    @property
    def is_never_null(self) -> bool:
        """Whether it is never null in a response."""
        if self.option.null == rest_pb2.NULL_NEVER or self.own_rules.required:
            return True
        if self.option.null == rest_pb2.NULL_WHEN_EMPTY or self.descriptor.has_presence:
            return False
        return self.kind is not Kind.STRING and self.option.json != rest_pb2.JSON_VALUE

    @property
    def takes_null(self) -> bool:
        """Whether null in a request means the same as leaving the field out."""
        return not (self.is_required or self.own_rules.required or self.option.null == rest_pb2.NULL_NEVER)

    @property
    def pattern(self) -> str:
        """The pattern that a string must match; empty when there is none."""
        return self.option.pattern or rest_pattern(self.rules.string.pattern)


def rest_pattern(pattern: str) -> str:
    """Return the pattern of a rule for JSON. The contract writes `^(x)?$` for a string that may be left out."""
    if pattern == _WITHOUT_NUL:
        return ""
    optional = _OPTIONAL.fullmatch(pattern)
    return f"^{optional[1]}$" if optional else pattern


@cache
def field_of(descriptor: FieldDescriptor) -> Field:
    """Return the field in JSON that a descriptor describes."""
    options = descriptor.GetOptions()
    option, rules = options.Extensions[rest_pb2.field], options.Extensions[validate_pb2.field]
    is_map = descriptor.message_type is not None and descriptor.message_type.GetOptions().map_entry
    return Field(
        descriptor,
        option.name or descriptor.json_name,
        _kind(descriptor, option),
        option,
        rules.repeated.items if descriptor.is_repeated and not is_map else rules,
    )


def fields_of(message: Descriptor) -> Iterator[Field]:
    """Yield the fields of a message that JSON has."""
    for descriptor in message.fields:
        field = field_of(descriptor)
        if not field.option.hidden:
            yield field


def field_at(message: Descriptor, path: str) -> Field:
    """Return the field at a path of proto names, such as `command.command_id`; raises KeyError when there is none."""
    *above, last = path.split(".")
    for step in above:
        inner = message.fields_by_name[step].message_type
        if inner is None:
            raise KeyError(path)
        message = inner
    return field_of(message.fields_by_name[last])


def _kind(descriptor: FieldDescriptor, option: rest_pb2.FieldRule) -> Kind:
    if descriptor.message_type is not None:
        return _WELL_KNOWN.get(descriptor.message_type.full_name, Kind.MESSAGE)
    if descriptor.enum_type is not None:
        return Kind.ENUM
    if option.json:
        return Kind.JSON
    return _PLAIN[descriptor.cpp_type]
