"""Checks of a command before it is sent to an MCP server, and of its result before it is stored."""

import json
import math
import re
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import JSONRPCError, JSONRPCResponse

from libs.attempts import (
    AttemptFailedError,
    Failure,
    FailureCode,
)
from services.runner.executors.mcp import frames
from services.runner.executors.mcp.arguments import Parameters
from services.runner.executors.mcp.pipes import TailBuffer
from services.runner.executors.mcp.results import (
    excerpt,
    json_safe,
    storable,
)
from services.runner.executors.mcp.schemas import ArgumentSchema

SCHEMA = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
    },
    "required": ["text"],
    "additionalProperties": False,
    "$defs": {"item": {"type": "object", "properties": {"size": {"type": "integer", "minimum": 1}}}},
}


def failure_of(act: Callable[[], object]) -> Failure:
    with pytest.raises(AttemptFailedError) as caught:
        act()
    return caught.value.failure


@pytest.mark.parametrize(
    ("params", "field", "rule"),
    [
        ({}, "params.tool", "is required"),
        ({"tool": 1}, "params.tool", "must be a string"),
        ({"tool": ""}, "params.tool", "1 to 4096"),
        ({"tool": "x" * 5000}, "params.tool", "1 to 4096"),
        ({"tool": "\ud800"}, "params.tool", "surrogates"),
        ({"tool": "t", "arguments": []}, "params.arguments", "must be an object"),
        ({"tool": "t", "arguments": {"a": "\udfff"}}, "params.arguments", "surrogates"),
        ({"tool": "t", "arguments": {"a": math.nan}}, "params.arguments", "NaN"),
        ({"tool": "t", "arguments": {"a": object()}}, "params.arguments", "JSON"),
        ({"tool": "t", "other": 1}, "params.other", "an unknown field; known fields: tool, arguments"),
    ],
)
def test_invalid_parameter_is_rejected_with_field_and_rule(params: Mapping[str, Any], field: str, rule: str) -> None:
    def check() -> None:
        parameters = Parameters(params, ("tool", "arguments"))
        parameters.name("tool")
        parameters.arguments()

    failure = failure_of(check)
    assert (failure.code, failure.retryable) == (FailureCode.INVALID_ARGUMENTS, False)
    assert failure.details["errors"][0]["field"] == field
    assert rule in failure.message


def test_deeply_nested_arguments_are_rejected() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    failure = failure_of(lambda: Parameters({"arguments": deep}, ("arguments",)).arguments())
    assert "nested too deeply" in failure.message
    while deep:  # otherwise the interpreter would free them recursively
        deep = deep.pop("a")


def test_prompt_arguments_must_be_strings() -> None:
    failure = failure_of(lambda: Parameters({"arguments": {"n": 1}}, ("arguments",)).texts())
    assert failure.message == "params.arguments.n: must be a string"


def test_missing_arguments_default_to_an_empty_object() -> None:
    assert Parameters({"arguments": None}, ("arguments",)).arguments() == {}


def test_valid_arguments_pass_the_schema_and_stay_as_they_are() -> None:
    schema, arguments = ArgumentSchema("t", SCHEMA), {"text": "a", "items": [{"size": 1}]}
    schema.check(arguments)
    assert arguments == {"text": "a", "items": [{"size": 1}]}
    assert failure_of(lambda: schema.check({**arguments, "more": 1})).code is FailureCode.INVALID_ARGUMENTS


@pytest.mark.parametrize(
    ("arguments", "field", "words"),
    [
        ({}, "params.arguments", "'text' is a required property"),
        ({"text": 1}, "params.arguments.text", "1 is not of type 'string'"),
        ({"text": "a", "more": 1}, "params.arguments", "'more' was unexpected"),
        (
            {"text": "a", "items": [{}, {"size": 0}]},
            "params.arguments.items[1].size",
            "less than the minimum",
        ),
    ],
)
def test_invalid_arguments_are_rejected_with_path_and_message(
    arguments: Mapping[str, Any], field: str, words: str
) -> None:
    failure = failure_of(lambda: ArgumentSchema("t", SCHEMA).check(arguments))
    assert (failure.code, failure.retryable) == (FailureCode.INVALID_ARGUMENTS, False)
    assert failure.details["errors"][0]["field"] == field
    assert failure.message.startswith(f"{field}: ")
    assert words in failure.message


def test_error_message_shortens_long_values() -> None:
    failure = failure_of(lambda: ArgumentSchema("t", SCHEMA).check({"text": ["x" * 100_000]}))
    assert len(failure.message) < 1000


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "no such type"},
        {"properties": 7},
        {"$ref": "#/absent"},
        {"properties": {"text": {"pattern": "("}}},
        {"$schema": "urn:unknown", "type": "object"},
    ],
)
def test_invalid_schema_leaves_the_check_to_the_server(schema: Mapping[str, Any]) -> None:
    ArgumentSchema("t", schema).check({"text": "1"})


def test_number_of_reported_faults_is_limited() -> None:
    schema = {"properties": {"items": {"items": {"type": "string"}}}}
    failure = failure_of(lambda: ArgumentSchema("t", schema).check({"items": [1] * 200_000}))
    assert len(failure.details["errors"]) == 10


def test_schema_reference_to_a_url_is_never_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_: pytest.fail("fetched"))
    ArgumentSchema("t", {"$ref": "http://127.0.0.1:1/schema"}).check({"text": 1})


def test_values_that_cannot_be_stored_are_replaced() -> None:
    raw = {"a\x00": ["b\ud800c", math.nan, math.inf, 2**64, -(2**63), True, None], "ok": "\U0001f600"}
    assert json_safe(raw) == {
        "a\ufffd": ["b\ufffdc", None, None, str(2**64), -(2**63), True, None],
        "ok": "\U0001f600",
    }


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=())), inner),
    max_leaves=20,
)


@given(_JSON)
def test_every_value_becomes_storable(value: object) -> None:
    text = json.dumps(json_safe({"value": value}), allow_nan=False, ensure_ascii=False)
    text.encode()
    assert "\\u0000" not in text
    assert not re.search("[\ud800-\udfff]", text)


def test_size_limit_counts_serialised_bytes() -> None:
    assert storable({"a": "x" * 92}, limit=100)
    assert failure_of(lambda: storable({"a": "x" * 93}, limit=100)).code is FailureCode.RESULT_TOO_LARGE
    assert not failure_of(lambda: storable({"a": "ä" * 47}, limit=100)).retryable


def test_cut_excerpt_ends_with_an_ellipsis() -> None:
    assert excerpt("abc\x00", 10) == "abc\ufffd"
    assert excerpt("abcdef", 4) == "abc…"


@pytest.mark.parametrize("size", [1, 2, 7, 4096])
def test_lines_are_split_independently_of_chunks(size: int) -> None:
    data = b'{"a":1}\n\n{"b":2}\nrest'
    splitter = frames.LineSplitter()
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    assert [line for chunk in chunks for line in splitter.feed(chunk)] == [b'{"a":1}', b"", b'{"b":2}']


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc":"2.0","id":41,"result":{"content":"' + b"x" * 5000 + b'"}}',
        b'{"result":{"content":"' + b"x" * 5000 + b'"},"jsonrpc":"2.0","id":41}',
    ],
)
def test_overlong_answer_becomes_an_error_for_its_request(line: bytes) -> None:
    splitter = frames.LineSplitter(limit=2000)
    found = [item for start in range(0, len(line), 100) for item in splitter.feed(line[start : start + 100])]
    assert found == []
    [error, after] = splitter.feed(b'\n{"a":1}\n')
    assert isinstance(error, JSONRPCError)
    assert (error.id, error.error.code) == (41, frames.RESULT_TOO_LONG)
    assert after == b'{"a":1}'


def test_overlong_line_without_an_id_is_dropped() -> None:
    splitter = frames.LineSplitter(limit=2000)
    [line, after] = splitter.feed(b"x" * 5000 + b'\n{"a":1}\n')
    assert isinstance(line, bytes)
    assert frames.parse(line) is None
    assert after == b'{"a":1}'


@pytest.mark.parametrize("line", [b"", b"Welcome", b"[1]", b"{", b'{"a":1}', b"{" * 100_000, b"null", b"\xff"])
def test_line_without_a_message_parses_as_none(line: bytes) -> None:
    assert frames.parse(line) is None


@pytest.mark.parametrize("text", [rb"a\ud800", b"a\xff"])
def test_answer_with_broken_text_is_still_parsed(text: bytes) -> None:
    message = frames.parse(b'{"jsonrpc":"2.0","id":1,"result":{"text":"' + text + b'"}}')
    assert isinstance(message, JSONRPCResponse)
    assert message.result == {"text": "a\ufffd"}


def test_tail_buffer_keeps_the_last_bytes() -> None:
    tail = TailBuffer(limit=10)
    for piece in (b"0123456789", b"abc", b"d" * 7 + b"\xff"):
        tail.data_received(piece)
    assert tail.text() == "bcddddddd\ufffd"
