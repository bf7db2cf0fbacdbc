"""The rules of single values: each a condition for generated code, and the text that REST reports."""

from dataclasses import dataclass
from typing import Any

from libs.contract.fields import Field, Kind
from libs.contract.words import words_of

_MOST_INT32 = 2**31 - 1
_MOST_INT64 = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Check:
    """A condition that rejects the value `v`, and an expression for the text of the rule."""

    condition: str
    rule: str


def check(condition: str, rule: str) -> Check:
    """Make a check whose rule is a constant."""
    return Check(condition, repr(rule))


def type_checks(kind: Kind) -> list[Check]:
    """Return the check of the type of a JSON value."""
    match kind:
        case Kind.STRING:
            return [check("type(v) is not str", "Input should be a valid string")]
        case Kind.INTEGER:
            return [check("type(v) is not int", "Input should be a valid integer")]
        case Kind.NUMBER:
            return [check("type(v) is not int and type(v) is not float", "Input should be a valid number")]
        case Kind.BOOLEAN:
            return [check("v is not True and v is not False", "Input should be a valid boolean")]
        case _:
            return [check("type(v) is not dict", "Input should be a valid dictionary")]


def string_checks(field: Field, pattern: str, match: str) -> list[Check]:
    """Return the checks of a text's length and form; `match` names the compiled match of `pattern`."""
    rules, checks = field.rules.string, []
    if rules.max_len and not field.option.pattern:
        rule = f"String should have at most {_count(rules.max_len, 'character')}"
        checks.append(check(f"len(v) > {rules.max_len}", rule))
    if rules.min_len and not field.option.pattern:
        rule = f"String should have at least {_count(rules.min_len, 'character')}"
        checks.append(check(f"len(v) < {rules.min_len}", rule))
    if pattern:
        checks.append(check(f"{match}(v) is None", f"String should match pattern '{pattern}'"))
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
        check(f"v < {least}", f"Input should be greater than or equal to {least}"),
        check(f"v > {most}", f"Input should be less than or equal to {most}"),
    ]


def one_of(values: list[Any]) -> str:
    """Return the rule that a value must be one of a few."""
    *others, last = [repr(value) for value in values]
    return f"Input should be {', '.join(others)} or {last}" if others else f"Input should be {last}"


def enum_numbers(field: Field, *, as_text: bool) -> dict[Any, int]:
    """Return the enum numbers that a field takes, by word. The words `true` and `false` are booleans in JSON."""
    allowed = list(getattr(field.rules.enum, "in"))
    flags = {} if as_text else {"true": True, "false": False}
    numbers = words_of(field.enum).numbers
    return {flags.get(word, word): number for word, number in numbers.items() if not allowed or number in allowed}


def most_checks(kind: str, most: int) -> list[Check]:
    """Return the check of the size of a list or a dictionary."""
    number = "{len(v)}" if kind == "List" else "more"
    rule = f"f'{kind} should have at most {_count(most, 'item')} after validation, not {number}'"
    return [Check(f"len(v) > {most}", rule)] if most else []


def too_short(kind: str) -> str:
    """Return the rule that a list must not be empty."""
    return f"{kind} should have at least 1 item after validation, not 0"


def exactly_one(names: list[str], *, is_required: bool) -> str:
    """Return the rule that at most one of the names may be given, or that exactly one must be."""
    if is_required:
        return f"exactly one of {' and '.join(names)} is required"
    return f"at most one of {' and '.join(names)} may be given"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
