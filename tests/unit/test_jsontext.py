"""JSON as text: accepted text can be stored, and is returned unchanged."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.errors import Reason, ServiceError
from libs.jsontext import MAX_DEPTH, check_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


def rule_of(text: str) -> str:
    with pytest.raises(ServiceError) as caught:
        check_object(text, "command.params_json")
    assert caught.value.reason in (Reason.FIELD_INVALID, Reason.JSON_INVALID)
    assert [violation.field for violation in caught.value.violations] == ["command.params_json"]
    return caught.value.violations[0].rule


def nested(depth: int, *, of: str = "object") -> str:
    if of == "object":
        return '{"a":' * depth + "1" + "}" * depth
    return '{"a":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


@given(st.dictionaries(st.text("abc", max_size=3), VALUES, max_size=4), st.booleans())
def test_object_is_returned_unchanged(value: dict[str, Any], indented: bool) -> None:  # noqa: FBT001
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 if indented else 0).decode()
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        assert check_object(text, "f") == text


def test_empty_text_means_an_empty_object() -> None:
    assert check_object("", "f") == "{}"


@pytest.mark.parametrize("text", ["[]", "1", "null", '"text"', "true", "[{}]"])
def test_json_that_is_not_an_object_is_rejected(text: str) -> None:
    assert "object" in rule_of(text)


@pytest.mark.parametrize(
    "text", ["{", "{]", "{'a': 1}", '{"a": NaN}', '{"a": Infinity}', "{} {}", " ", "\ufeff{}", '{"a":1,}']
)
def test_invalid_json_is_rejected(text: str) -> None:
    assert "JSON" in rule_of(text)


@pytest.mark.parametrize(
    "text",
    [r'{"a": "\u0000"}', r'{"a": ["x", {"b": "x\u0000y"}]}', r'{"\u0000": 1}', r'{"a": {"b\u0000": 1}}'],
)
def test_nul_characters_are_rejected_at_any_depth(text: str) -> None:
    assert "NUL" in rule_of(text)


def test_escaped_backslash_before_u0000_is_accepted() -> None:
    text = r'{"a": "\\u0000"}'
    assert check_object(text, "f") == text


@pytest.mark.parametrize("text", [r'{"a": "\ud800"}', r'{"a": "\udc00x"}', r'{"\ud800": 1}', r'{"a": "\ud800\ud800"}'])
def test_lone_surrogates_are_rejected(text: str) -> None:
    rule_of(text)


def test_surrogate_pairs_are_accepted() -> None:
    text = r'{"a": "\ud83d\ude00"}'
    assert check_object(text, "f") == text


@pytest.mark.parametrize("of", ["object", "array"])
def test_nesting_is_accepted_up_to_the_limit(of: str) -> None:
    assert check_object(nested(MAX_DEPTH, of=of), "f") == nested(MAX_DEPTH, of=of)
    assert str(MAX_DEPTH) in rule_of(nested(MAX_DEPTH + 1, of=of))
    rule_of(nested(900, of=of))
    rule_of(nested(100_000, of=of))


def test_many_sibling_brackets_do_not_count_as_nesting() -> None:
    text = '{"a": [' + ",".join(["{}"] * 500) + "]}"
    assert check_object(text, "f") == text


def test_key_that_is_given_twice_is_passed_on() -> None:
    text = '{"a": 1, "a": {"b": 2, "b": 3}}'
    assert check_object(text, "f") == text


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" * 400])
def test_numbers_outside_the_range_of_doubles_are_rejected(number: str) -> None:
    """Such a number once failed a whole batch when the database parsed it (concurrency, rule 8)."""
    rule_of(f'{{"a": {number}}}')
