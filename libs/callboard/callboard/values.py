"""Converts between the contract's values and Python's: words for enums, datetime, timedelta, and parsed JSON."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar, cast
from uuid import uuid4

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

_Message = TypeVar("_Message", bound=Message)
_Word = TypeVar("_Word", bound=str)
_UNSPECIFIED = "UNSPECIFIED"


def given(**values: Any) -> dict[str, Any]:
    """Return the arguments that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def new_request_id() -> str:
    """Return a new idempotency key."""
    return str(uuid4())


def with_request_ids(items: Iterable[Mapping[str, object]]) -> list[dict[str, object]]:
    """Return the items of a request, each with an idempotency key."""
    return [{**item, "request_id": item.get("request_id") or new_request_id()} for item in items]


def fields_of(answer: Any) -> dict[str, Any]:
    """Return the fields of a value, for a type that extends its type."""
    return {field.name: getattr(answer, field.name) for field in dataclasses.fields(answer)}


def read_time(message: Timestamp) -> datetime:
    """Return a time, in UTC."""
    return message.ToDatetime(tzinfo=UTC)


def read_span(message: Duration) -> timedelta:
    """Return a duration."""
    return message.ToTimedelta()


def read_json(text: str) -> Any:
    """Return the value of JSON text, None if it is empty."""
    return json.loads(text) if text else None


def read_word(words: Mapping[int, _Word], number: int) -> _Word:
    """Return the word of an enum's value, or its number if this version does not know it."""
    return words.get(number) or cast(_Word, str(number) if number else _UNSPECIFIED.lower())


def write(kind: type[_Message], values: Mapping[str, Any]) -> _Message:
    """Return a message with these values. None means that the field is not given.

    Raises TypeError or ValueError, which names the field, for a value that the message cannot hold. The service checks
    the rules.
    """
    message = kind()
    _fill(message, values, "")
    return message


def _fill(message: Message, values: Mapping[str, Any], path: str) -> None:
    fields = cast(Mapping[str, FieldDescriptor], message.DESCRIPTOR.fields_by_name)
    for name, value in values.items():
        field = fields.get(name) or fields.get(f"{name}_json")
        if field is None:
            known = ", ".join(known.removesuffix("_json") for known in fields)
            raise TypeError(f"{path}{name}: no such field; there are {known}")
        if value is not None:
            _set(message, field, value, f"{path}{name}")


def _set(message: Message, field: FieldDescriptor, value: Any, path: str) -> None:
    if field.is_repeated:
        _set_many(getattr(message, field.name), field, value, path)
    elif field.message_type is not None:
        _set_message(getattr(message, field.name), value, path)
    else:
        _assign(partial(setattr, message, field.name), _scalar(field, value, path), path)


def _set_many(container: Any, field: FieldDescriptor, value: Any, path: str) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        for key, item in _items(value, path):
            _assign(partial(container.__setitem__, key), item, f'{path}["{key}"]')
        return
    if isinstance(value, str | bytes | Mapping):
        raise TypeError(f"{path}: must be a list, not {type(value).__name__}")
    for index, item in enumerate(value):
        if field.message_type is not None:
            _set_message(container.add(), item, f"{path}[{index}]")
        else:
            _assign(container.append, _scalar(field, item, f"{path}[{index}]"), f"{path}[{index}]")


def _set_message(message: Message, value: Any, path: str) -> None:
    message.SetInParent()
    match message:
        case Timestamp():
            message.FromDatetime(_aware(value, path))
        case Duration():
            _assign(message.FromTimedelta, value if isinstance(value, timedelta) else _seconds(value, path), path)
        case FieldMask():
            message.paths.extend(value)
        case _:
            _fill(message, dict(_items(value, path)), f"{path}.")


def _items(value: Any, path: str) -> Iterable[tuple[str, Any]]:
    """Return the names and values of a dictionary or of a value from a response."""
    if isinstance(value, Mapping):
        return value.items()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return fields_of(value).items()
    raise TypeError(f"{path}: must be a dictionary, not {type(value).__name__}")


def _aware(value: Any, path: str) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError(f"{path}: must be a datetime, not {type(value).__name__}")
    if value.utcoffset() is None:
        raise ValueError(f"{path}: must have a time zone; use datetime.now(UTC), for example")
    return value


def _seconds(value: Any, path: str) -> timedelta:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{path}: must be a timedelta or a number of seconds, not {type(value).__name__}")
    try:
        return timedelta(seconds=value)
    except (OverflowError, ValueError) as error:
        raise ValueError(f"{path}: must be a number of seconds that a timedelta can hold, not {value}") from error


def _scalar(field: FieldDescriptor, value: Any, path: str) -> Any:
    if field.enum_type is not None:
        return _number(field.enum_type, value, path)
    if field.name.endswith("_json"):
        try:
            return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        except (TypeError, ValueError) as error:
            raise type(error)(f"{path}: is not JSON: {error}") from error
    return value


def _number(enum: EnumDescriptor, word: Any, path: str) -> int:
    """Return the number of a word. All names of an enum's values have the prefix of its `unspecified` value."""
    prefix = enum.values_by_number[0].name.removesuffix(_UNSPECIFIED)
    value = enum.values_by_name.get(f"{prefix}{word.upper()}") if isinstance(word, str) else None
    if value is None:
        words = ", ".join(one.name.removeprefix(prefix).lower() for one in enum.values if one.number)
        raise ValueError(f"{path}: must be one of {words}; it is {word!r}")
    return int(value.number)


def _assign(assign: Callable[[Any], object], value: Any, path: str) -> None:
    """Set a value. Raises TypeError or ValueError with the field's path for a wrong type or range."""
    try:
        assign(value)
    except TypeError as error:
        raise TypeError(f"{path}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
