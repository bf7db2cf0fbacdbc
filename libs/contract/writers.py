"""Compiles functions that write messages as dicts for `orjson.dumps`.

Their source is generated, as in `dataclasses`, so that they are as fast as functions written by hand.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from callboard.options.v1 import rest_pb2
from libs.contract.fields import Field, Kind, field_at, fields_of
from libs.contract.values import EMPTY_OBJECT, camel, embed, write_duration, write_timestamp
from libs.contract.words import words_of

Write = Callable[[Message], dict[str, Any]]
_FUNCTIONS: dict[Kind, Callable[[Any], Any]] = {
    Kind.TIMESTAMP: write_timestamp,
    Kind.DURATION: write_duration,
    Kind.JSON: embed,
}


class Writers:
    """The functions that write messages: one for each message and set of omitted fields."""

    def __init__(self) -> None:
        self.sources: dict[str, str] = {}
        self._namespace: dict[str, Any] = {"EMPTY_OBJECT": EMPTY_OBJECT, "camel": camel}
        self._namespace |= {function.__name__: function for function in _FUNCTIONS.values()}

    def writer(self, message: Descriptor, without: Sequence[str] = ()) -> Write:
        """Return the function that writes a message."""
        return cast(Write, self._namespace[self._declare(message, without)])

    def _declare(self, message: Descriptor, without: Sequence[str]) -> str:
        name = "_without_".join([f"write_{message.full_name.replace('.', '_')}", *without])
        if name not in self.sources:
            self.sources[name] = ""  # a message may contain itself
            lines = [f"def {name}(message):"]
            entries = [
                f"        {key!r}: {value}," for key, value in self._entries(message, "message", without, lines).items()
            ]
            self.sources[name] = "\n".join([*lines, "    return {", *entries, "    }"])
            exec(self.sources[name], self._namespace)  # noqa: S102 - it consists of names that protoc has checked
        return name

    def _entries(self, message: Descriptor, owner: str, without: Sequence[str], lines: list[str]) -> dict[str, str]:
        """Return the sources of the dict's entries. A parent's field wins over a flattened one with the same name."""
        entries: dict[str, str] = {}
        for field in fields_of(message):
            if field.proto_name in without:
                continue
            if field.option.flatten:
                lines.append(f"    {field.proto_name} = {owner}.{field.proto_name}")
                inner = self._entries(field.message, field.proto_name, (), lines)
                entries |= {name: value for name, value in inner.items() if name not in entries}
                continue
            value = self._field(field, owner)
            entries |= dict.fromkeys(filter(None, (field.name, field.option.also_written_as)), value)
        extras = message.GetOptions().Extensions[rest_pb2.message].extra
        return entries | {extra.name: _extra(message, extra, owner) for extra in extras}

    def _field(self, field: Field, owner: str) -> str:
        value = f"{owner}.{field.proto_name}"
        if field.is_map:
            key, item = "camel(key)" if field.option.camel_keys else "key", self._value(field.map_value, "item")
            return (
                f"dict({value})"
                if (key, item) == ("key", "item")
                else f"{{{key}: {item} for key, item in {value}.items()}}"
            )
        if field.is_list:
            return f"list({value})" if self._is_plain(field) else f"[{self._value(field, 'item')} for item in {value}]"
        if field.descriptor.has_presence:
            written = self._value(field, value)
            return written if field.is_never_null else f"{written} if {owner}.HasField({field.proto_name!r}) else None"
        if field.kind is Kind.JSON:
            empty = "EMPTY_OBJECT" if field.option.json == rest_pb2.JSON_OBJECT else "None"
            return f"embed(text) if (text := {value}) else {empty}"
        if field.is_never_null:
            return self._value(field, value)
        return f"{value} or None" if self._is_plain(field) else f"{self._value(field, value)} if {value} else None"

    def _is_plain(self, field: Field) -> bool:
        return self._value(field, "x") == "x"

    def _value(self, field: Field, value: str) -> str:
        if field.kind is Kind.MESSAGE:
            return f"{self._declare(field.message, field.option.without)}({value})"
        if field.kind is Kind.ENUM:
            name = f"words_of_{field.enum.full_name.replace('.', '_')}"
            self._namespace.setdefault(name, words_of(field.enum).words)
            return f"{name}[{value}]"
        if field.kind is Kind.FIELD_MASK:
            return f"list({value}.paths)"
        function = _FUNCTIONS.get(field.kind)
        if function is not None:
            return f"{function.__name__}({value})"
        return value


def _extra(message: Descriptor, extra: rest_pb2.Extra, owner: str) -> str:
    match extra.WhichOneof("value"):
        case "text":
            return repr(extra.text)
        case "count_of":
            return f"len({owner}.{field_at(message, extra.count_of).proto_name})"
        case _:
            field_at(message, extra.value_of)
            is_there = field_at(message, extra.value_of.partition(".")[0]).is_never_null
            return f"{owner}.{extra.value_of}" if is_there else f"{owner}.{extra.value_of} or None"
