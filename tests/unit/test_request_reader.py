"""Invalid requests are rejected naming the field, at any depth and at low cost."""

import gc
import time

import pytest
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value
from protovalidate import Validator

from callboard.agents.v1.agents_pb2 import Agent, Connector, CreateAgentRequest
from callboard.events.v1.events_pb2 import AppendEventsRequest, NewEvent, StreamEventsRequest
from libs.errors import Reason, ServiceError
from libs.rpc.requests import RequestReader

UNKNOWN = b"\x9a\x06\x03abc"  # field 99: "abc"
VALIDATOR = Validator()


def error_of(kind: type[Message], raw: bytes, max_bytes: int = 1 << 24) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        RequestReader(kind.FromString, VALIDATOR, max_bytes)(raw)
    return caught.value


def fields(message: Message) -> list[str]:
    error = error_of(type(message), message.SerializeToString())
    assert error.reason is Reason.FIELD_INVALID
    return [violation.field for violation in error.violations]


def agent(**more: object) -> Agent:
    values = {"agent_id": "a", "connector": Connector(kind="echo")} | more
    return Agent(**values)  # type: ignore[arg-type]


def test_valid_request_is_read() -> None:
    request = CreateAgentRequest(agent=agent(labels={"k": "v"}))
    assert RequestReader(CreateAgentRequest.FromString, VALIDATOR, 1000)(request.SerializeToString()) == request


def test_paths_have_proto_names_indices_and_keys() -> None:
    assert fields(CreateAgentRequest()) == ["agent"]
    assert fields(CreateAgentRequest(agent=agent(labels={"team": "x" * 300}))) == ['agent.labels["team"]']
    assert fields(CreateAgentRequest(agent=agent(connector=Connector(kind="mcp")))) == ["agent.connector"]
    good, bad = NewEvent(type="iteration"), NewEvent(type="Not.This")
    assert fields(AppendEventsRequest(session_id="s", events=[good, bad])) == ["events[1].type"]
    assert fields(StreamEventsRequest()) == ["scope"]


def test_nul_bytes_are_rejected_in_stored_text() -> None:
    assert fields(CreateAgentRequest(agent=agent(display_name="a\x00b"))) == ["agent.display_name"]


def test_violation_of_a_map_key_says_so() -> None:
    error = error_of(CreateAgentRequest, CreateAgentRequest(agent=agent(labels={"a b": "c"})).SerializeToString())
    assert error.violations[0].rule.startswith("key does not match")


def test_unknown_fields_are_found_at_any_depth() -> None:
    event = NewEvent.FromString(NewEvent(type="iteration").SerializeToString() + UNKNOWN)
    assert fields(AppendEventsRequest(session_id="s", events=[NewEvent(type="iteration"), event])) == ["events[1].99"]
    connector = Connector.FromString(Connector(kind="echo").SerializeToString() + UNKNOWN)
    assert fields(CreateAgentRequest(agent=agent(connector=connector))) == ["agent.connector.99"]


def test_unknown_field_of_a_message_in_a_map_is_named_by_its_key() -> None:
    value = Value.FromString(Value(number_value=1).SerializeToString() + UNKNOWN)
    assert fields(Struct(fields={"a": Value(bool_value=True), "b": value})) == ['fields["b"].99']


def test_unknown_field_in_a_map_entry_is_rejected() -> None:
    entry = b"\x0a\x01k\x12\x01v" + UNKNOWN
    inner = agent().SerializeToString() + b"\x2a" + bytes([len(entry)]) + entry
    error = error_of(CreateAgentRequest, b"\x0a" + bytes([len(inner)]) + inner)
    assert [violation.field for violation in error.violations] == ["agent.5"]


def test_first_violations_are_listed_and_the_rest_counted() -> None:
    request = AppendEventsRequest(session_id="s", events=[NewEvent(type="No")] * 500)
    error = error_of(AppendEventsRequest, request.SerializeToString())
    assert len(error.violations) == 10
    assert error.message.endswith("(and 499 more)")


def test_cost_grows_linearly_with_unknown_fields() -> None:
    def cost(fields: int) -> float:
        raw = AppendEventsRequest(session_id="s").SerializeToString() + UNKNOWN * fields
        gc.disable()  # its cost depends on the objects that earlier tests have left
        began = time.process_time()
        try:
            assert len(error_of(AppendEventsRequest, raw).violations) == 10
            return time.process_time() - began
        finally:
            gc.enable()

    assert cost(1_000_000) < 40 * min(cost(100_000) for _ in range(3))  # quadratic growth would take 100 times


def test_request_over_the_limit_is_not_parsed() -> None:
    error = error_of(AppendEventsRequest, b"\xff" * 101, max_bytes=100)
    assert (error.reason, error.metadata) == (Reason.PAYLOAD_TOO_LARGE, {"limit_bytes": "100"})
