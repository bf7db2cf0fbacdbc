"""Parses request messages and rejects those that break the contract."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet
from protovalidate import Validator, Violation

from libs.errors import FieldViolation, Reason, ServiceError

_MOST_VIOLATIONS = 10  # all must fit into 8 KiB of metadata, the default limit of clients


class RequestReader:
    """Parses and validates the bytes of a request. Errors name the field.

    Raises ServiceError PAYLOAD_TOO_LARGE, or FIELD_INVALID if the bytes are not such a message, have unknown fields or
    break the contract's rules.
    """

    def __init__(self, parse: Callable[[bytes], Message], validator: Validator, max_bytes: int) -> None:
        self._parse = parse
        self._validator = validator
        self._max_bytes = max_bytes

    def __call__(self, raw: bytes) -> Message:
        """Parse and validate one request."""
        if len(raw) > self._max_bytes:
            raise _too_large(self._max_bytes)
        try:
            message = self._parse(raw)
        except DecodeError:
            rule = "is not a message of the method's request type"
            raise ServiceError(
                Reason.FIELD_INVALID, f"the request {rule}", violations=[FieldViolation("", rule)]
            ) from None
        # Fast at any depth: if there are unknown fields, dropping them changes the size.
        size = message.ByteSize()
        message.DiscardUnknownFields()
        if message.ByteSize() != size:
            raise _unknown(self._parse(raw))
        check_rules(self._validator, message)
        return message


def check_rules(validator: Validator, message: Message) -> None:
    """Check a message against the contract's rules; raises ServiceError FIELD_INVALID."""
    violations = validator.collect_violations(message)
    if violations:
        named = [_violation(violation) for violation in violations[:_MOST_VIOLATIONS]]
        raise _invalid(named, len(violations) - 1)


def _invalid(violations: list[FieldViolation], more: int) -> ServiceError:
    first = violations[0]
    text = f"{first.field}: {first.rule}" if first.field else first.rule
    if more:
        text += f" (and {more} more)"
    return ServiceError(Reason.FIELD_INVALID, text, violations=violations)


def _too_large(limit: int) -> ServiceError:
    return ServiceError(
        Reason.PAYLOAD_TOO_LARGE,
        f"the request is larger than {limit} bytes",
        metadata={"limit_bytes": str(limit)},
    )


def _violation(violation: Violation) -> FieldViolation:
    found = violation.proto
    path = _path(found.field.elements) if found.field else ""
    rule = found.message or found.rule_id
    return FieldViolation(path, f"key {rule}" if found.for_key else rule)


def _path(elements: Iterable[Any]) -> str:
    """Return a field's path in proto names: `events[3].type`, `agent.labels["team"]`."""
    steps = []
    for element in elements:
        subscript = element.subscript
        if subscript is None:
            steps.append(element.field_name)
        else:
            value = f'"{subscript.value}"' if subscript.field == "string_key" else str(subscript.value).lower()
            steps.append(f"{element.field_name}[{value}]")
    return ".".join(steps)


def _unknown(message: Message) -> ServiceError:
    rule = "is not a field of the contract"
    paths = islice(_unknown_fields(message, ""), _MOST_VIOLATIONS)  # a request can have a million of them
    found = [FieldViolation(path, rule) for path in paths]
    return _invalid(
        found or [FieldViolation("", "the request has a field that is not in the contract")], max(0, len(found) - 1)
    )


def _unknown_fields(message: Message, path: str) -> Iterable[str]:
    """Yield the paths of unknown fields. They only have a number."""
    unknown = UnknownFieldSet(message)
    for index in range(len(unknown)):
        yield _join(path, str(unknown[index].field_number))
    for name, inner in _inner_messages(message):
        yield from _unknown_fields(inner, _join(path, name))


def _inner_messages(message: Message) -> Iterable[tuple[str, Message]]:
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if isinstance(value, Message):
            yield field.name, value
        elif field.message_type.GetOptions().map_entry:
            yield from ((f'{field.name}["{key}"]', inner) for key, inner in value.items() if isinstance(inner, Message))
        else:
            yield from ((f"{field.name}[{index}]", inner) for index, inner in enumerate(value))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
