"""Writers turn the contract's messages into JSON."""

from typing import Any

import orjson
import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callboard.agents.v1 import agents_pb2
from callboard.commands.v1 import commands_pb2
from callboard.errors.v1 import errors_pb2
from callboard.events.v1 import events_pb2
from callboard.sessions.v1 import sessions_pb2
from libs.contract import all_methods, find_method, write_message
from libs.contract.fields import Field, Kind, field_of
from tests.support.random_messages import messages

_SESSION_KEYS = """
    sessionId agentId sessionType state mode title task taskId workspace userId channelId resourceId labels context
    metadata restartCount restartedFrom lastSeq result error createdBy etag createdAt updatedAt startedAt endedAt
"""
_COMMAND_KEYS = """
    jobId commandId correlationId agentId sessionId type params state attempt maxAttempts progress result error
    requestedBy enqueuedAt startedAt finishedAt requeuedFrom nextAttemptAt cancelRequestedAt chargedAttempts timeout
    backoff maxBackoff priority notBefore retryToolErrors orderingKey retention
"""
_EVENT_KEYS = "eventId seq type level sessionId agentId commandId correlationId actor payload createdAt"
ANSWERS = [method.descriptor.output_type for method in all_methods()]


def written(message: Message) -> Any:
    return orjson.loads(orjson.dumps(write_message(message)))


@pytest.mark.parametrize(
    ("number", "word"),
    [(1, "init"), (2, "running"), (3, "paused"), (4, "stopping"), (5, "completed"), (6, "failed"), (7, "timeout"),
     (8, "stopped")],
)  # fmt: skip
def test_session_states_are_written_as_words(number: Any, word: str) -> None:
    assert write_message(sessions_pb2.Session(state=number))["state"] == word


def test_field_without_a_value_is_written_as_null() -> None:
    session = write_message(sessions_pb2.Session(state=sessions_pb2.SESSION_STATE_CREATED))
    assert set(session) == set(_SESSION_KEYS.split())
    assert session["title"] is session["error"] is session["endedAt"] is session["result"] is None
    command = write_message(commands_pb2.Command(state=commands_pb2.COMMAND_STATE_QUEUED))
    assert set(command) == set(_COMMAND_KEYS.split())
    assert (command["priority"], command["timeout"]) == ("normal", None)
    event = write_message(events_pb2.Event(level=events_pb2.EVENT_LEVEL_AUDIT, address="10.0.0.1"))
    assert list(event) == _EVENT_KEYS.split()


def test_unknown_enum_value_is_written_as_its_number() -> None:
    assert write_message(sessions_pb2.Session(state=99))["state"] == "state_99"  # type: ignore[arg-type]
    refusal = commands_pb2.BulkSubmitRefusal(reason=999)  # type: ignore[arg-type]
    assert write_message(refusal)["reason"] == "REASON_999"


def test_state_that_is_never_stored_is_an_error() -> None:
    with pytest.raises(KeyError):
        write_message(sessions_pb2.Session())


def test_times_are_rfc_3339_in_utc_with_microseconds() -> None:
    agent = agents_pb2.Agent()
    assert write_message(agent)["createdAt"] is None
    agent.created_at.FromJsonString("2026-01-31T09:30:00.123456789+01:00")
    assert write_message(agent)["createdAt"] == "2026-01-31T08:30:00.123456Z"


def test_durations_are_numbers_of_seconds() -> None:
    attempt = commands_pb2.Attempt()
    attempt.duration.FromMilliseconds(1500)
    assert write_message(attempt)["duration"] == 1.5
    attempt.duration.FromSeconds(90)
    assert repr(write_message(attempt)["duration"]) == "90"


def test_field_mask_is_written_as_its_paths() -> None:
    request = agents_pb2.UpdateAgentRequest()
    assert write_message(request)["updateMask"] == []
    request.update_mask.paths.extend(["display_name", "labels"])
    assert write_message(request)["updateMask"] == ["display_name", "labels"]


def test_json_is_embedded_unchanged_on_one_line() -> None:
    event = events_pb2.Event(level=events_pb2.EVENT_LEVEL_INFO, payload_json='{\r\n"a":\n12345678901234567890123}')
    text = orjson.dumps(write_message(event))
    assert b'"payload":{  "a": 12345678901234567890123}' in text
    assert written(events_pb2.Event(level=events_pb2.EVENT_LEVEL_INFO))["payload"] == {}


def test_list_of_dead_letters_omits_attempts() -> None:
    reason = errors_pb2.ERROR_REASON_TOOL_ERROR
    command = commands_pb2.Command(command_id="c", state=commands_pb2.COMMAND_STATE_FAILED)
    dead_letter = commands_pb2.DeadLetter(command=command, reason=reason, attempts=[commands_pb2.Attempt(attempt=1)])
    (listed,) = written(commands_pb2.ListDeadLettersResponse(dead_letters=[dead_letter]))["deadLetters"]
    assert "attempts" not in listed
    assert (written(dead_letter)["attempts"][0]["attempt"], written(dead_letter)["id"], listed["reason"]) == (
        1,
        "c",
        "TOOL_ERROR",
    )


def test_response_is_written_as_the_body_of_its_operation() -> None:
    response = agents_pb2.GetAgentResponse(agent=agents_pb2.Agent(agent_id="clock"))
    assert find_method("GetAgent").write(response)["agentId"] == "clock"
    kept = commands_pb2.CancelCommandResponse()
    assert find_method("CancelCommand").write(kept) == {"command": None}


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(ANSWERS).flatmap(messages))
def test_writers_agree_with_the_json_mapping_of_protobuf(message: Message) -> None:
    expected = MessageToDict(message, always_print_fields_with_no_presence=True)
    assert _disagreements(message.DESCRIPTOR, written(message), expected) == []


def _disagreements(descriptor: Any, ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """The differences between the two, in fields that both should write alike."""
    found = []
    for one in descriptor.fields:
        field = field_of(one)
        if one.json_name not in theirs or field.option.flatten or field.name not in ours:
            continue
        mine, other = ours[field.name], theirs[one.json_name]
        if field.kind is Kind.MESSAGE and not field.is_map:
            pairs = zip(mine, other, strict=True) if field.is_list else [(mine, other)]
            found += [text for pair in pairs for text in _disagreements(field.message, *pair)]
        elif _is_alike(field) and mine != _read(field, other):
            found.append(f"{one.full_name}: {mine!r}, {other!r}")
    return found


def _is_alike(field: Field) -> bool:
    value = field.map_value if field.is_map else field
    is_plain = value.kind in (Kind.STRING, Kind.INTEGER, Kind.BOOLEAN, Kind.NUMBER)
    is_ours = field.option.camel_keys or _is_shared(field.descriptor.containing_type, field)
    return is_plain and not is_ours


def _is_shared(message: Descriptor | None, field: Field) -> bool:
    """Whether the parent writes another value under this name: a session's id, and not that of its spec."""
    return message is not None and message.name == "SessionSpec" and field.name == "sessionId"


def _read(field: Field, value: Any) -> Any:
    if field.kind is Kind.INTEGER and isinstance(value, str):  # protobuf writes 64-bit integers as strings
        return int(value)
    empty = not field.is_map and value in ("", 0, 0.0) and not field.is_never_null
    return None if empty and not field.descriptor.has_presence else value
