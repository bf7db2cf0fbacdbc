"""Conversion between Python values and the messages of requests and responses."""

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from callboard.agents.v1.agents_pb2 import Agent, UpdateAgentRequest
from callboard.commands.v1 import commands_pb2
from callboard.commands.v1.commands_pb2 import Command, CommandSpec, ListDeadLettersRequest
from callboard.resources.readers import read_command, read_session
from callboard.sessions.v1.sessions_pb2 import ListSessionsRequest, Session
from callboard.types import Connector
from callboard.values import with_request_ids, write

NOON = datetime(2027, 3, 4, 12, 0, 0, 123456, tzinfo=UTC)


def test_values_become_the_fields_of_a_message() -> None:
    spec = write(
        CommandSpec,
        {
            "agent_id": "clock",
            "params": {"text": "é", "n": [1, None]},
            "options": {"timeout": timedelta(minutes=1), "backoff": 0.25, "priority": "low", "not_before": NOON},
        },
    )
    assert spec.params_json == '{"text":"é","n":[1,null]}'
    assert (spec.options.timeout.seconds, spec.options.backoff.nanos) == (60, 250_000_000)
    assert spec.options.priority == commands_pb2.COMMAND_PRIORITY_LOW
    assert spec.options.not_before.ToDatetime(tzinfo=UTC) == NOON


def test_none_leaves_a_field_out_and_an_empty_dictionary_sets_it() -> None:
    assert not write(CommandSpec, {"options": None, "params": None}).HasField("options")
    assert write(CommandSpec, {"options": {}}).HasField("options")
    assert write(CommandSpec, {"params": {}}).params_json == "{}"


def test_lists_maps_and_masks_are_filled() -> None:
    request = write(ListSessionsRequest, {"states": ["active", "timed_out"], "labels": {"team": "night"}})
    assert (list(request.states), dict(request.labels)) == ([2, 7], {"team": "night"})
    assert list(write(UpdateAgentRequest, {"update_mask": ["labels"]}).update_mask.paths) == ["labels"]
    assert len(write(ListDeadLettersRequest, {"reasons": ["TOOL_ERROR"]}).reasons) == 1


def test_values_of_a_response_can_be_passed_to_a_request() -> None:
    agent = write(Agent, {"connector": Connector(kind="mcp", server="time")})
    assert (agent.connector.kind, agent.connector.server) == ("mcp", "time")


def test_times_are_converted_between_time_zones() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=-7)))
    found = write(ListSessionsRequest, {"created_after": there}).created_after
    assert found.ToDatetime(tzinfo=UTC) == NOON


@pytest.mark.parametrize(
    ("values", "kind", "text"),
    [
        ({"agent": "clock"}, TypeError, "agent: no such field; there are agent_id, "),
        ({"agent_id": 7}, TypeError, "agent_id: "),
        ({"agent_id": "\ud800"}, ValueError, "agent_id: "),
        ({"params": {"n": math.inf}}, ValueError, "params: is not JSON: "),
        ({"params": {"n": object()}}, TypeError, "params: is not JSON: "),
        ({"options": 7}, TypeError, "options: must be a dictionary, not int"),
        ({"options": {"timeout": "1s"}}, TypeError, "options.timeout: must be a timedelta or a number of seconds"),
        ({"options": {"timeout": True}}, TypeError, "options.timeout: must be a timedelta or a number of seconds"),
        (
            {"options": {"timeout": math.nan}},
            ValueError,
            "options.timeout: must be a number of seconds that a timedelta can hold, not nan",
        ),
        (
            {"options": {"timeout": 1e300}},
            ValueError,
            "options.timeout: must be a number of seconds that a timedelta can hold, not 1e+300",
        ),
        ({"options": {"priority": "urgent"}}, ValueError, "options.priority: must be one of high, normal, low; it is "),
        ({"options": {"priority": 1}}, ValueError, "options.priority: must be one of high, normal, low; it is 1"),
        ({"options": {"not_before": "now"}}, TypeError, "options.not_before: must be a datetime, not str"),
        ({"options": {"not_before": datetime(2027, 1, 1)}}, ValueError, "options.not_before: must have a time zone"),  # noqa: DTZ001
        ({"options": {"max_attempts": 1 << 40}}, ValueError, "options.max_attempts: "),
    ],
)
def test_value_of_a_wrong_type_is_rejected_naming_the_field(
    values: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as caught:
        write(CommandSpec, values)
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"states": "active"}, "states: must be a list, not str"),
        ({"states": ["active", "gone"]}, "states[1]: must be one of created, "),
        ({"labels": ["team"]}, "labels: must be a dictionary, not list"),
        ({"labels": {"team": 7}}, 'labels["team"]: '),
    ],
)
def test_item_of_a_wrong_type_is_rejected_naming_the_field(values: dict[str, Any], text: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        write(ListSessionsRequest, values)
    assert str(caught.value).startswith(text)


def test_each_item_gets_its_own_key_unless_it_has_one() -> None:
    first, second, third = with_request_ids([{"type": "a"}, {"type": "a"}, {"type": "a", "request_id": "mine"}])
    assert first["request_id"] != second["request_id"]
    assert third["request_id"] == "mine"


def test_responses_become_python_values() -> None:
    message = Command(params_json='{"n":1}', state=commands_pb2.COMMAND_STATE_QUEUED)
    message.enqueued_at.FromDatetime(NOON)
    message.options.timeout.FromSeconds(90)
    command = read_command(message)
    assert (command.params, command.result, command.state) == ({"n": 1}, None, "queued")
    assert (command.enqueued_at, command.started_at, command.error) == (NOON, None, None)
    assert (command.options.timeout, command.options.retention) == (timedelta(seconds=90), None)


def test_unknown_enum_value_is_its_number() -> None:
    message = Session()
    message.ParseFromString(b"\x18\x63")  # state = 99
    assert str(read_session(message).state) == "99"
    assert str(read_session(Session()).state) == "unspecified"
