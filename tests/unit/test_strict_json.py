"""JSON of callers is read strictly and written unchanged."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contract.strict_json import read_json, write_json
from libs.errors import Reason, ServiceError
from tests.support.random_messages import JSON


@given(JSON)
def test_json_survives_reading_and_writing(value: Any) -> None:
    assert read_json(write_json(value).encode()) == value


def _read(body: bytes) -> Any:
    try:
        return read_json(body)
    except ServiceError as error:
        return error


@given(st.binary(max_size=200) | st.text('[]{}":,1ae.\\u0d8', max_size=30).map(str.encode))
def test_any_bytes_are_read_or_rejected_for_a_reason(body: bytes) -> None:
    value = _read(body)
    if isinstance(value, ServiceError):
        assert value.reason is Reason.JSON_INVALID
        assert all(violation.rule for violation in value.violations)
    else:
        assert read_json(write_json(value).encode()) == value


def test_key_that_is_given_twice_is_rejected_by_name() -> None:
    with pytest.raises(ServiceError) as caught:
        read_json(b'{"x": [{"a": 1, "b": 2, "a": 3}]}')
    assert [(one.field, one.rule) for one in caught.value.violations] == [("a", "is given twice")]


def test_first_key_that_recurs_is_the_one_named() -> None:
    with pytest.raises(ServiceError) as caught:
        read_json(b'{"a": 1, "b": null, "b": 2, "a": 3}')
    assert [one.field for one in caught.value.violations] == ["b"]


def test_escaped_pair_of_surrogates_is_one_character() -> None:
    assert read_json(rb'{"a": [1, true, null, "\ud83d\ude00"]}') == {"a": [1, True, None, "\N{GRINNING FACE}"]}


@pytest.mark.parametrize(
    ("body", "field"),
    [(rb'{"x": [1, {"y": "a\u0000"}]}', "x[1].y"), (rb'{"x": {"\ud800": 1}}', "x"), (rb'"\udc00"', "")],
)
def test_text_that_cannot_be_stored_is_rejected_by_its_path(body: bytes, field: str) -> None:
    with pytest.raises(ServiceError) as caught:
        read_json(body)
    assert [one.field for one in caught.value.violations] == [field]


def test_depth_is_limited_to_64() -> None:
    assert write_json(read_json(b"[" * 64 + b"]" * 64)) == "[" * 64 + "]" * 64
    with pytest.raises(ServiceError, match="deeper than 64"):
        read_json(b"[" * 65 + b"]" * 65)
