"""JSON schemas (draft 2020-12) of responses and requests."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor

from callboard.options.v1 import rest_pb2
from libs.contract.comments import description, description_of_answer, description_of_input
from libs.contract.fields import Field, Kind, field_at, fields_of
from libs.contract.rules import enum_numbers, integer_bounds
from libs.contract.slots import Limits, Scope, scope_of
from libs.contract.words import words_of

Schema = dict[str, Any]
_PLAIN: dict[Kind, Schema] = {
    Kind.STRING: {"type": "string"},
    Kind.INTEGER: {"type": "integer"},
    Kind.NUMBER: {"type": "number"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.TIMESTAMP: {"type": "string", "format": "date-time"},
    Kind.FIELD_MASK: {"type": "array", "items": {"type": "string"}},
}
_SPAN = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^\d{1,9}(\.\d{1,9})?s$"}]}
_GIVEN = _PLAIN | {Kind.DURATION: _SPAN, Kind.JSON: {"type": "object"}}
_NULL = {"type": "null"}


class Schemas:
    """The schemas of messages, by the names that references use."""

    def __init__(self, prefix: str = "#/components/schemas/") -> None:
        self.definitions: dict[str, Schema] = {}
        self._prefix = prefix
        self._owners: dict[str, str] = {}

    def written(self, message: Descriptor, without: Sequence[str] = ()) -> Schema:
        """Return a reference to the schema of a message in a response: every key is present."""
        name = "".join([message.name, *(f"Without{one.title().replace('_', '')}" for one in without)])
        if self._is_new(name, f"written {message.full_name}"):
            properties = self._written_properties(message, without)
            self.definitions[name] = _object(properties, list(properties), description(message.full_name))
        return {"$ref": f"{self._prefix}{name}"}

    def given(self, name: str, scope: Scope, about: str = "") -> Schema:
        """Return a reference to the schema of an object in a request."""
        if self._is_new(name, f"given {scope.message.full_name} {name}"):
            properties: dict[str, Schema] = {}
            for slot in scope.slots:
                properties |= self._given_names(slot.field, slot.name, is_required=slot.is_required)
            required = [] if scope.mask else [slot.name for slot in scope.slots if slot.is_required]
            schema = _object(properties, required, about or description(scope.message.full_name))
            self.definitions[name] = schema | ({"minProperties": 1} if scope.mask or scope.not_empty else {})
        return {"$ref": f"{self._prefix}{name}"}

    def parameter(self, field: Field) -> Schema:
        """Return the schema of a field in a query, where every value is text."""
        return self._given(field, as_text=True)

    def _is_new(self, name: str, owner: str) -> bool:
        if self._owners.setdefault(name, owner) != owner:
            raise ValueError(f"two schemas have the name {name}: {self._owners[name]} and {owner}")
        is_new = name not in self.definitions
        self.definitions.setdefault(name, {})  # a message may contain itself
        return is_new

    def _written_properties(self, message: Descriptor, without: Sequence[str]) -> dict[str, Schema]:
        properties: dict[str, Schema] = {}
        for field in fields_of(message):
            if field.proto_name in without:
                continue
            if field.option.flatten:
                properties = self._written_properties(field.message, ()) | properties
                continue
            about = description_of_answer(field)
            for name in filter(None, (field.name, field.option.also_written_as)):
                properties[name] = self._written(field) | {"description": about}
        for extra in message.GetOptions().Extensions[rest_pb2.message].extra:
            properties[extra.name] = self._extra(message, extra)
        return properties

    def _extra(self, message: Descriptor, extra: rest_pb2.Extra) -> Schema:
        match extra.WhichOneof("value"):
            case "text":
                return {"const": extra.text}
            case "count_of":
                return {"type": "integer", "description": f"How many there are in `{extra.count_of}`."}
            case _:
                field = field_at(message, extra.value_of)
                owner = field_at(message, extra.value_of.partition(".")[0])
                schema = self._written_value(field)
                about = {"description": description_of_answer(field)}
                return about | (schema if owner.is_never_null else _nullable(schema))

    def _written(self, field: Field) -> Schema:
        if field.is_map:
            return {"type": "object", "additionalProperties": self._written_value(field.map_value)}
        schema = self._written_value(field)
        if field.is_list:
            return {"type": "array", "items": schema}
        return schema if field.is_never_null or not schema else _nullable(schema)

    def _written_value(self, field: Field) -> Schema:
        match field.kind:
            case Kind.MESSAGE if not field.is_map:
                return self.written(field.message, list(field.option.without))
            case Kind.ENUM if not words_of(field.enum).pattern:
                return {"type": "string", "enum": list(dict.fromkeys(words_of(field.enum).words.values()))}
            case Kind.ENUM:
                return {"type": "string"}
            case Kind.DURATION:
                return {"type": "number"}
            case Kind.JSON:
                return {"type": "object"} if field.option.json == rest_pb2.JSON_OBJECT else {}
            case _:
                return dict(_PLAIN.get(field.kind, {}))

    def _given_names(self, field: Field, name: str, *, is_required: bool) -> dict[str, Schema]:
        schema = self._given(field)
        if field.takes_null and not is_required:
            schema = _nullable(schema)
        names = {name: {**schema, "description": description_of_input(field)}}
        if field.option.also_read_as:
            names[field.option.also_read_as] = {**schema, "description": f"The same as `{name}`."}
        if field.option.HasField("flag"):
            about = f"The same as `{name}: {field.option.flag.word}`."
            names[field.option.flag.name] = _nullable({"type": "boolean"}) | {"description": about}
        return names

    def _given(self, field: Field, *, as_text: bool = False) -> Schema:
        if field.is_map:
            own = field.own_rules.map
            if as_text:
                return {"type": "array", "items": {"type": "string"}, "maxItems": own.max_pairs}
            keys = {"pattern": own.keys.string.pattern} if own.keys.string.pattern else {}
            texts = self._given_value(field.map_value, as_text=as_text)
            most = {"maxProperties": own.max_pairs} if own.max_pairs else {}
            return {"type": "object", "additionalProperties": texts, "propertyNames": keys, **most}
        schema = self._given_value(field, as_text=as_text)
        if not field.is_list:
            return schema
        rules = field.own_rules.repeated
        least = 1 if rules.min_items or field.option.not_empty else 0
        bounds = {"minItems": least, "maxItems": rules.max_items}
        return {"type": "array", "items": schema} | {name: bound for name, bound in bounds.items() if bound}

    def _given_value(self, field: Field, *, as_text: bool) -> Schema:
        match field.kind:
            case Kind.STRING:
                return _text(field)
            case Kind.INTEGER:
                least, most = integer_bounds(field)
                return {"type": "integer", "minimum": least, "maximum": most}
            case Kind.ENUM:
                pattern = words_of(field.enum).pattern
                words = {"enum": list(enum_numbers(field, as_text=as_text))}
                return {"type": "string", "pattern": pattern} if pattern else words
            case Kind.MESSAGE:
                return self.given(self._given_name(field.message), scope_of(field.message, Limits(is_whole=True)))
            case _:
                return dict(_GIVEN[field.kind])

    def _given_name(self, message: Descriptor) -> str:
        """Return the schema name of a message in requests: its own name, unless responses use that one."""
        is_written = self._owners.get(message.name, "").startswith("written ")
        return f"{message.name}Input" if is_written else message.name


def _text(field: Field) -> Schema:
    rules, schema = field.rules.string, {"type": "string"}
    if allowed := list(getattr(rules, "in")):
        return {"enum": allowed}
    if field.pattern:
        schema["pattern"] = field.pattern
    lengths = {} if field.option.pattern else {"minLength": rules.min_len, "maxLength": rules.max_len}
    return schema | {name: length for name, length in lengths.items() if length}


def _object(properties: dict[str, Schema], required: list[str], about: str) -> Schema:
    schema: Schema = {"type": "object", "description": about, "properties": properties, "additionalProperties": False}
    return schema | ({"required": required} if required else {})


def _nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, _NULL]}
