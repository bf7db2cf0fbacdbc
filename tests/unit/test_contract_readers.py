"""Readers turn a caller's JSON or query into a request, or into an error that names the field and the rule."""

import contextlib
import json
from typing import Any

import orjson
import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from protovalidate import Validator

from callboard.agents.v1 import agents_pb2
from callboard.commands.v1 import commands_pb2
from callboard.events.v1 import events_pb2
from callboard.sessions.v1 import sessions_pb2
from libs.contract import Method, all_methods, find_method, write_message
from libs.contract.operations import Operation
from libs.contract.readers import compile_reader
from libs.contract.slots import Limits
from libs.errors import Reason, ServiceError
from tests.support.random_messages import JSON, TEXTS, messages

REQUESTS: tuple[Any, ...] = (
    agents_pb2.Connector,
    commands_pb2.CancelCommandsRequest,
    commands_pb2.CommandSpec,
    commands_pb2.RequeueDeadLetterRequest,
    events_pb2.AppendEventsRequest,
    sessions_pb2.RestartSessionRequest,
    sessions_pb2.StartSessionRequest,
)
READS: list[Method] = [method for method in all_methods() if method.request.DESCRIPTOR.fields]


def operation(name: str) -> Operation:
    return next(one for method in all_methods() for one in method.operations if one.id == name)


def error_of(method: str, given: dict[str, Any]) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        find_method(method).read(given)
    return caught.value


def fields(method: str, given: dict[str, Any]) -> list[str]:
    return [violation.field for violation in error_of(method, given).violations]


def query(name: str, **values: Any) -> Any:
    one = operation(name)
    message = GetMessageClass(one.method.input_type)()
    compile_reader(f"test_{name}", one.method.input_type, one.limits, as_text=True)(values, message)
    return message


def submit(**options: Any) -> commands_pb2.CommandSpec:
    request: Any = find_method("SubmitCommand").read({"agentId": "clock", "type": "a", **options})
    spec: commands_pb2.CommandSpec = request.command
    return spec


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("30s", 30 * 10**9), ("0.000000001s", 1), (1.5, 1_500_000_000), (0, 0), (86400, 86_400 * 10**9)],
)
def test_durations_are_read(text: Any, nanoseconds: int) -> None:
    assert submit(timeout=text).options.timeout.ToNanoseconds() == nanoseconds
    assert submit(timeout=text).options.HasField("timeout")


@pytest.mark.parametrize(
    "value", ["30", "s", "-1s", "1m", "1e3s", -1, True, float("inf"), float("nan"), "٣s", {}]
)  # fmt: skip
def test_invalid_duration_is_rejected(value: Any) -> None:
    (violation,) = error_of("SubmitCommand", {"agentId": "a", "type": "a", "timeout": value}).violations
    assert (violation.field, violation.rule) == ("timeout", "must be a number of seconds, or a text such as 30s")


def test_times_are_read_to_the_nanosecond() -> None:
    made = submit(notBefore="2026-01-31T09:30:00.123456789+01:00").options.not_before
    assert made.ToJsonString() == "2026-01-31T08:30:00.123456789Z"


@pytest.mark.parametrize(
    "value", ["2026-01-31", "2026-13-01T00:00:00Z", "2026-01-31T09:30:00", "2026-01-31 09:30:00Z", 5,
              "0001-01-01T00:00:00+01:00"],
)  # fmt: skip
def test_invalid_time_is_rejected(value: Any) -> None:
    (violation,) = error_of("SubmitCommand", {"agentId": "a", "type": "a", "notBefore": value}).violations
    assert violation.rule in {"must be a time as in RFC 3339, such as 2026-01-31T09:30:00Z", "must be a valid time"}


@pytest.mark.parametrize(
    ("method", "given", "rule"),
    [
        ("GetAgent", {"agentId": 1}, "must be a string"),
        ("GetAgent", {"agentId": "a b"}, "must match ^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"),
        ("CreateAgent", {"agentId": "a", "connector": "echo"}, "must be an object"),
        ("CreateAgent", {"agentId": "a", "connector": {"kind": "http"}}, "must be mcp or echo"),
        (
            "CreateAgent",
            {"agentId": "a", "connector": {"kind": "echo"}, "displayName": "x" * 201},
            "must be at most 200 characters",
        ),
        (
            "CreateAgent",
            {"agentId": "a", "connector": {"kind": "echo"}, "labels": {f"l{n}": "x" for n in range(65)}},
            "must have at most 64 items",
        ),
        ("SubmitCommand", {"agentId": "a", "type": "a", "maxAttempts": "3"}, "must be a whole number"),
        ("SubmitCommand", {"agentId": "a", "type": "a", "maxAttempts": 0}, "must be at least 1"),
        ("SubmitCommand", {"agentId": "a", "type": "a", "maxAttempts": 26}, "must be at most 25"),
        ("SubmitCommand", {"agentId": "a", "type": "a", "priority": "urgent"}, "must be high, normal or low"),
        ("StartSession", {"agentId": "a", "restart": 1}, "must be true or false"),
        ("AppendEvents", {"sessionId": "s", "events": {}}, "must be a list"),
        ("AppendEvents", {"sessionId": "s", "events": []}, "must have at least 1 item"),
        ("ListDeadLetters", {"requeued": "no"}, "must be true, false or any"),
    ],
)
def test_broken_rule_is_told_in_words_of_json(method: str, given: dict[str, Any], rule: str) -> None:
    assert [violation.rule for violation in error_of(method, given).violations] == [rule]


def test_null_leaves_a_field_out_unless_a_value_is_required() -> None:
    assert submit(params=None, timeout=None, priority=None).options == submit().options
    assert fields("SubmitCommand", {"agentId": "a", "type": None}) == ["type"]
    assert fields("CancelCommands", {"filter": {"type": "a"}, "dryRun": None}) == ["dryRun"]


def test_two_names_of_one_field_must_agree() -> None:
    assert submit(attempts=4).options.max_attempts == submit(attempts=4, maxAttempts=4).options.max_attempts == 4
    error = error_of("SubmitCommand", {"agentId": "a", "type": "a", "attempts": 3, "maxAttempts": 4})
    assert error.message == "attempts contradicts maxAttempts"


@pytest.mark.parametrize(
    ("place", "start", "cursor"),
    [
        ("start", events_pb2.STREAM_START_BEGINNING, ""),
        ("now", events_pb2.STREAM_START_NOW, ""),
        ("c1", events_pb2.STREAM_START_UNSPECIFIED, "c1"),
    ],
)
def test_stream_begins_at_a_word_or_after_a_cursor(place: str, start: int, cursor: str) -> None:
    request: Any = find_method("StreamEvents").read({"sessionId": "s", "from": place})
    assert (request.start, request.cursor) == (start, cursor)


def test_update_without_a_connector_is_valid_and_leaves_it_unchanged() -> None:
    request: Any = find_method("UpdateAgent").read({"agentId": "a", "displayName": "A"})
    assert list(request.update_mask.paths) == ["display_name"]
    assert not Validator().collect_violations(request)


def test_flag_sets_an_enum_value() -> None:
    request: Any = find_method("StartSession").read({"agentId": "a", "restart": True})
    assert request.on_conflict == sessions_pb2.ON_CONFLICT_RESTART
    request = find_method("StartSession").read({"agentId": "a", "restart": False, "onConflict": "fail"})
    assert request.on_conflict == sessions_pb2.ON_CONFLICT_FAIL
    error = error_of("StartSession", {"agentId": "a", "restart": True, "onConflict": "fail"})
    assert error.message == "restart contradicts onConflict"


def test_every_violation_has_its_path() -> None:
    given = {
        "sessionId": "-", "nope": 1,
        "events": [{"type": "custom.a"}, {"type": "No", "level": "audit", "payload": []}, 5, {}],
    }  # fmt: skip
    assert fields("AppendEvents", given) == [
        "sessionId", "events[1].type", "events[1].level", "events[1].payload", "events[2]", "events[3].type", "nope"
    ]  # fmt: skip
    labels = {"a b": "x", "c": 5, "d": "x" * 257}
    agent = {"agentId": "a", "connector": {"kind": "mcp", "more": 1}, "labels": labels}
    assert fields("CreateAgent", agent) == ["connector.more", "labels.a b", "labels.c", "labels.d"]


def test_unknown_name_is_truncated_in_the_error() -> None:
    assert fields("GetAgent", {"agentId": "a", "x" * 500: 1}) == ["x" * 128]


def test_at_most_a_hundred_violations_are_listed_and_the_rest_counted() -> None:
    error = error_of("AppendEvents", {"sessionId": "s", "events": [{}] * 1000})
    assert len(error.violations) == 100
    assert error.message.endswith("(and 999 more)")


def test_exactly_one_of_exclusive_fields_is_required() -> None:
    assert error_of("RequeueDeadLetters", {}).message == "exactly one of ids and filter is required"
    assert error_of("SubmitCommand", {"type": "a"}).message == "exactly one of agentId and sessionId is required"
    both = {"ids": ["a"], "filter": {}}
    assert error_of("PurgeDeadLetters", both).message == "exactly one of ids and filter is required"


def test_empty_filter_is_rejected() -> None:
    error = error_of("CancelCommands", {"filter": {"agentId": None}})
    assert error.message == "filter: an empty filter would mean every command: name something"


def test_update_mask_lists_the_given_fields() -> None:
    request: Any = find_method("UpdateAgent").read({"agentId": "a", "displayName": None, "exclusive": False})
    assert list(request.update_mask.paths) == ["display_name", "exclusive"]
    assert not request.agent.exclusive
    rule = "must give at least one of displayName, connector, exclusive, labels"
    assert error_of("UpdateAgent", {"agentId": "a", "etag": "7"}).message == rule


def test_output_only_field_cannot_be_set() -> None:
    given = {"agentId": "a", "connector": {"kind": "echo"}, "createdAt": "2026-01-31T09:30:00Z", "etag": "7"}
    assert fields("CreateAgent", given) == ["createdAt", "etag"]


def test_flattened_message_is_set_if_one_of_its_fields_is_given() -> None:
    request: Any = find_method("RestartSession").read({"agentId": "a", "reason": "r"})
    assert not request.HasField("spec")
    request = find_method("RestartSession").read({"agentId": "a", "title": None})
    assert request.HasField("spec")


def test_query_parameters_are_converted_to_their_types() -> None:
    found = query(
        "listSessions", state=["init", "running"], label=["a:b,c"], pageSize="7", createdAfter="2026-01-01T00:00:00Z"
    )
    assert (list(found.states), dict(found.labels), found.page_size) == ([1, 2], {"a": "b,c"}, 7)
    assert query("listDeadLetters", requeued="false").requeued == commands_pb2.REQUEUED_FILTER_NOT_REQUEUED
    for name, values in (
        ("listSessions", {"pageSize": "7.0"}),
        ("listSessions", {"pageSize": "0"}),
        ("listSessions", {"label": ["a"]}),
        ("listDeadLetters", {"reason": ["NOPE"]}),
        ("listSessionCommands", {"agentId": "a"}),
    ):
        with pytest.raises(ServiceError):
            query(name, **values)


def test_enum_with_a_flag_takes_only_booleans_in_json() -> None:
    request: Any = find_method("PurgeDeadLetters").read({"filter": {"requeued": False}})
    assert request.filter.requeued == commands_pb2.REQUEUED_FILTER_NOT_REQUEUED
    assert fields("PurgeDeadLetters", {"filter": {"requeued": "false"}}) == ["filter.requeued"]


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(REQUESTS).flatmap(lambda kind: messages(kind.DESCRIPTOR, by_rules=True)))
def test_written_message_is_read_back(message: Message) -> None:
    descriptor: Any = message.DESCRIPTOR
    read = compile_reader(f"test_{descriptor.full_name}", descriptor, Limits(is_whole=True))
    found = type(message)()
    read(json.loads(orjson.dumps(write_message(message))), found)
    assert found == message


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(READS).flatmap(lambda method: st.tuples(st.just(method), _objects(method.request.DESCRIPTOR))))
def test_any_json_is_read_or_rejected_naming_a_field(case: Any) -> None:
    method, given = case
    with contextlib.suppress(ServiceError):
        method.read(given).SerializeToString()


def _objects(descriptor: Any) -> st.SearchStrategy[dict[str, Any]]:
    names = [one.json_name for one in descriptor.fields]
    return st.dictionaries(st.sampled_from(names) | TEXTS, JSON | st.sampled_from(["30s", 5, True]), max_size=5)


def test_text_of_a_request_is_read_strictly() -> None:
    method = find_method("SubmitCommand")
    assert method.read_json('{"agentId": "a", "type": "a"}') == method.read_json(b'{"agentId": "a", "type": "a"}')
    for text in ("", "[]", '{"type": 1, "type": 2}', "{"):
        with pytest.raises(ServiceError) as caught:
            method.read_json(text)
        assert caught.value.reason is Reason.JSON_INVALID
