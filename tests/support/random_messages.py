"""Hypothesis strategies of messages: any values of their types, or only those that their rules allow."""

import json
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from callboard.options.v1 import rest_pb2
from libs.contract.fields import Field, Kind, field_of
from libs.contract.rules import integer_bounds

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=20,
)
OBJECTS = st.dictionaries(TEXTS, JSON, min_size=1, max_size=3).map(
    lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
)


def messages(descriptor: Descriptor, *, by_rules: bool = False) -> st.SearchStrategy[Any]:
    """Messages of a type. With `by_rules`, each value is valid in a request."""
    kind: Any = GetMessageClass(descriptor)
    fields = [field_of(one) for one in descriptor.fields]
    chosen = st.fixed_dictionaries(
        {one.proto_name: _values(one, by_rules) for one in fields if _is_needed(one, by_rules)},
        optional={one.proto_name: _values(one, by_rules) for one in fields if not _is_needed(one, by_rules)},
    )
    return chosen.map(lambda values: kind(**_one_of_each(descriptor, values)))


def _is_needed(field: Field, by_rules: bool) -> bool:  # noqa: FBT001
    """Whether a field needs a value in JSON: an enum, a message that is never null, or a required field."""
    if field.descriptor.is_repeated:
        return by_rules and (field.is_required or field.option.not_empty)
    if field.kind in (Kind.ENUM, Kind.MESSAGE):
        return field.kind is Kind.ENUM or field.option.flatten or field.is_never_null
    is_first = (
        field.descriptor.containing_oneof is not None
        and field.descriptor.containing_oneof.fields[0] is field.descriptor
    )
    is_type = field.proto_name == "type"  # so that no filter is empty
    return by_rules and (field.is_required or is_first or is_type or field.kind is Kind.INTEGER)


def _one_of_each(descriptor: Descriptor, values: dict[str, Any]) -> dict[str, Any]:
    """Keeps one field of a oneof; of several, the last one would win."""
    taken, kept = set(), {}
    for name, value in values.items():
        oneof = descriptor.fields_by_name[name].containing_oneof
        if oneof is None or oneof.name not in taken:
            kept[name] = value
        if oneof is not None:
            taken.add(oneof.name)
    return kept


def _values(field: Field, by_rules: bool) -> st.SearchStrategy[Any]:  # noqa: FBT001
    if field.is_map:
        keys = st.from_regex(r"\A[a-z][a-z_]{0,5}\Z") if by_rules else TEXTS
        return st.dictionaries(keys, _value(field.map_value, by_rules), max_size=3)
    one = _value(field, by_rules)
    if field.is_list:
        return st.lists(one, min_size=1, max_size=3, unique=by_rules and field.kind is not Kind.MESSAGE)
    return one


def _value(field: Field, by_rules: bool) -> st.SearchStrategy[Any]:  # noqa: FBT001, PLR0911
    match field.kind:
        case Kind.STRING:
            return _text(field) if by_rules else TEXTS
        case Kind.INTEGER:
            return st.integers(*integer_bounds(field)) if by_rules else st.integers(0, 2**31 - 1)
        case Kind.NUMBER:
            return st.floats(allow_nan=False, allow_infinity=False)
        case Kind.BOOLEAN:
            return st.booleans()
        case Kind.ENUM:
            allowed = getattr(field.rules.enum, "in") if by_rules else ()
            numbers = [value.number for value in field.enum.values if value.number]
            return st.sampled_from([number for number in numbers if not allowed or number in allowed])
        case Kind.TIMESTAMP:
            micros = st.integers(0, 999_999).map(lambda count: count * 1000)
            return st.fixed_dictionaries({"seconds": st.integers(-(10**9), 10**10), "nanos": micros})
        case Kind.DURATION:
            millis = st.integers(0, 999).map(lambda count: count * 1_000_000)
            return st.fixed_dictionaries({"seconds": st.integers(0, 10**5), "nanos": millis})
        case Kind.JSON:
            can_be_empty = not by_rules or field.option.json == rest_pb2.JSON_OBJECT
            return OBJECTS | st.just("") if can_be_empty and not field.descriptor.has_presence else OBJECTS
        case Kind.FIELD_MASK:
            return st.just({"paths": []})
        case _:
            return messages(field.message, by_rules=by_rules)


def _text(field: Field) -> st.SearchStrategy[str]:
    allowed = list(getattr(field.rules.string, "in"))
    if allowed:
        return st.sampled_from(allowed)
    most = field.rules.string.max_len or 128
    texts = st.from_regex(rf"\A{field.pattern[1:-1]}\Z") if field.pattern else TEXTS
    return texts.filter(lambda text: len(text) <= most)
