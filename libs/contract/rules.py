"""The rules of single values: for each, a condition for generated code and the rule that REST reports."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from libs.contract.fields import Field, Kind
from libs.contract.words import words_of

_MOST_INT32 = 2**31 - 1
_MOST_INT64 = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Check:
    """A condition that rejects the value `v`, and the rule that it breaks then."""

    condition: str
    rule: str


def type_checks(kind: Kind) -> list[Check]:
    """Return the check of the type of a JSON value."""
    match kind:
        case Kind.STRING:
            return [Check("type(v) is not str", "must be a string")]
        case Kind.INTEGER:
            return [Check("type(v) is not int", "must be a whole number")]
        case Kind.NUMBER:
            return [Check("type(v) is not int and type(v) is not float", "must be a number")]
        case Kind.BOOLEAN:
            return [Check("v is not True and v is not False", "must be true or false")]
        case _:
            return [Check("type(v) is not dict", "must be an object")]


def string_checks(field: Field, pattern: str, match: str) -> list[Check]:
    """Return the checks of a text's length and form; `match` names the compiled match of `pattern`."""
    rules, checks = field.rules.string, []
    if rules.max_len and not field.option.pattern:
        checks.append(Check(f"len(v) > {rules.max_len}", f"must be at most {_count(rules.max_len, 'character')}"))
    if rules.min_len and not field.option.pattern:
        checks.append(Check(f"len(v) < {rules.min_len}", f"must be at least {_count(rules.min_len, 'character')}"))
    if pattern:
        checks.append(Check(f"{match}(v) is None", f"must match {pattern}"))
    return checks


def integer_bounds(field: Field) -> tuple[int, int]:
    """Return the minimum and the maximum of a whole number.

    In a field without presence 0 means "not given". JSON leaves the field out instead, so the minimum is then 1.
    """
    is_long = field.descriptor.cpp_type in (field.descriptor.CPPTYPE_INT64, field.descriptor.CPPTYPE_UINT64)
    rules: Any = field.rules.int64 if is_long else field.rules.int32
    least = rules.gte or (0 if field.descriptor.has_presence else 1)
    return least, rules.lte or (_MOST_INT64 if is_long else _MOST_INT32)


def integer_checks(field: Field) -> list[Check]:
    """Return the checks of a whole number's size."""
    least, most = integer_bounds(field)
    return [
        Check(f"v < {least}", f"must be at least {least}"),
        Check(f"v > {most}", f"must be at most {most}"),
    ]


def one_of(values: Iterable[Any]) -> str:
    """Return the rule that a value must be one of a few."""
    *others, last = [str(value).lower() if isinstance(value, bool) else value for value in values]
    return f"must be {', '.join(others)} or {last}" if others else f"must be {last}"


def enum_numbers(field: Field, *, as_text: bool) -> dict[Any, int]:
    """Return the enum numbers that a field takes, by word. The words `true` and `false` are booleans in JSON."""
    allowed = list(getattr(field.rules.enum, "in"))
    flags = {} if as_text else {"true": True, "false": False}
    numbers = words_of(field.enum).numbers
    return {flags.get(word, word): number for word, number in numbers.items() if not allowed or number in allowed}


def size_checks(most: int, *, least: int = 0) -> list[Check]:
    """Return the checks of the size of a list or an object; without `most` it may be any."""
    checks = [Check(f"len(v) > {most}", f"must have at most {_count(most, 'item')}")] if most else []
    return [*checks, Check(f"len(v) < {least}", f"must have at least {_count(least, 'item')}")] if least else checks


def exactly_one(names: list[str], *, is_required: bool) -> str:
    """Return the rule that at most one of the names may be given, or that exactly one must be."""
    if is_required:
        return f"exactly one of {' and '.join(names)} is required"
    return f"at most one of {' and '.join(names)} may be given"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
