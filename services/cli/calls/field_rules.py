"""Describes the type of a field and the rules for its value."""

from typing import Any

from libs.contract.fields import Field, Kind
from libs.contract.rules import enum_numbers, integer_bounds
from libs.contract.words import words_of

_MOST_INT32 = 2**31 - 1
_TYPES = {
    Kind.BOOLEAN: "true or false",
    Kind.JSON: "JSON object",
    Kind.TIMESTAMP: "time",
    Kind.DURATION: "seconds",
    Kind.MESSAGE: "object",
}


def type_of(field: Field) -> str:
    """Return the JSON type of a field's value."""
    if field.is_map:
        return "object of names and values"
    name = _TYPES.get(field.kind, field.kind.value)
    return f"list, each {name}" if field.is_list else name


def rules_of(field: Field) -> list[str]:
    """Return the rules for a field's value."""
    own = field.own_rules
    rules = [*_value_rules(field), *_bounds("items", own.repeated.min_items, own.repeated.max_items)]
    if field.is_map:
        rules += _bounds("names", own.map.min_pairs, own.map.max_pairs)
    if field.option.also_read_as:
        rules.append(f"also called {field.option.also_read_as}")
    if field.option.HasField("flag"):
        rules.append(f"{field.option.flag.name}: true is short for {field.option.flag.word}")
    return rules


def _value_rules(field: Field) -> list[str]:
    match field.kind:
        case Kind.STRING:
            return _text_rules(field)
        case Kind.INTEGER:
            least, most = integer_bounds(field)
            return [f"{least} to {most}" if most < _MOST_INT32 else f"at least {least}"]
        case Kind.ENUM:
            pattern = words_of(field.enum).pattern
            return [f"matches {pattern}" if pattern else _words(field)]
        case Kind.DURATION:
            return _duration_rules(field.rules.duration)
        case _:
            return []


def _text_rules(field: Field) -> list[str]:
    text: Any = field.rules.string
    allowed = list(getattr(text, "in"))
    if allowed:
        return [" | ".join(allowed)]
    rules = [] if field.option.pattern else _bounds("characters", text.min_len, text.max_len)
    return [*rules, f"matches {field.pattern}"] if field.pattern else rules


def _duration_rules(duration: Any) -> list[str]:
    rules = [f"at least {_seconds(duration.gte)}"] if duration.HasField("gte") else []
    return [*rules, f"at most {_seconds(duration.lte)}"] if duration.HasField("lte") else rules


def _bounds(noun: str, least: int, most: int) -> list[str]:
    if least and most:
        return [f"{least} to {most} {noun}"]
    return [f"at most {most} {noun}"] if most else [f"at least {least} {noun}"] if least else []


def _words(field: Field) -> str:
    words = enum_numbers(field, as_text=False)
    return " | ".join(str(word).lower() if isinstance(word, bool) else word for word in words)


def _seconds(duration: Any) -> str:
    return f"{duration.seconds + duration.nanos / 1e9:.12g}"
