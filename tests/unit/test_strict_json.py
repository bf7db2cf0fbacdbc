"""JSON of callers is read strictly and written unchanged."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contract.strict_json import read_json, write_json
from libs.errors import ServiceError
from tests.support.random_messages import JSON


@given(JSON)
def test_json_survives_reading_and_writing(value: Any) -> None:
    assert read_json(write_json(value).encode()) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_rejected(body: bytes) -> None:
    with contextlib.suppress(ServiceError):
        write_json(read_json(body))


def test_depth_is_limited_to_64() -> None:
    read_json(b"[" * 64 + b"]" * 64)
    with pytest.raises(ServiceError, match="deeper than 64"):
        read_json(b"[" * 65 + b"]" * 65)
