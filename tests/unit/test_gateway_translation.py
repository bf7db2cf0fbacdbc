"""The gateway's pure parts: values, strict JSON, names of fields, states, frames, paths."""

import contextlib
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.commands.v1 import commands_pb2
from callboard.events.v1 import events_pb2
from callboard.sessions.v1 import sessions_pb2
from libs.errors import Reason, ServiceError
from services.gateway.edge.problems import problem
from services.gateway.edge.reading import read_query
from services.gateway.edge.router import Router
from services.gateway.models.sessions import SessionQuery
from services.gateway.models.shape import CommandStateName, Level, SessionStateName, SessionTypeName
from services.gateway.models.values import read_moment, read_nanoseconds
from services.gateway.routes.table import OPERATIONS
from services.gateway.translation import commands, events, sessions
from services.gateway.translation.fields import in_rest_words, rest_path
from services.gateway.translation.strict_json import read_json, write_json
from services.gateway.translation.values import duration, json_value, time_text, timestamp

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), inner
    ),
    max_leaves=20,
)  # fmt: skip


@pytest.mark.parametrize(
    ("number", "name"),
    [(1, "init"), (2, "running"), (3, "paused"), (4, "stopping"), (5, "completed"), (6, "failed"), (7, "timeout"),
     (8, "stopped")],
)  # fmt: skip
def test_states_of_sessions_are_spelled_as_in_rest(number: Any, name: str) -> None:
    assert sessions.session_json(sessions_pb2.Session(state=number))["state"] == name


def test_the_models_know_every_value_of_the_contracts_enums() -> None:
    for enum, names in (
        (sessions_pb2.SessionState, SessionStateName),
        (sessions_pb2.SessionType, SessionTypeName),
        (commands_pb2.CommandState, CommandStateName),
        (events_pb2.EventLevel, Level),
    ):
        assert len(enum.items()) - 1 == len(get_args(names))


_SESSION_KEYS = """
    sessionId agentId sessionType state mode title task taskId workspace userId channelId resourceId labels context
    metadata restartCount restartedFrom lastSeq result error createdBy etag createdAt updatedAt startedAt endedAt
"""
_COMMAND_KEYS = """
    jobId commandId correlationId agentId sessionId type params state attempt maxAttempts progress result error
    requestedBy enqueuedAt startedAt finishedAt requeuedFrom nextAttemptAt priority
"""
_EVENT_KEYS = "eventId seq type level sessionId agentId commandId correlationId actor payload createdAt"


def test_every_key_is_there_and_null_without_a_value() -> None:
    session = sessions.session_json(sessions_pb2.Session(state=sessions_pb2.SESSION_STATE_CREATED))
    assert set(session) == set(_SESSION_KEYS.split())
    assert session["title"] is session["error"] is session["endedAt"] is None
    command = commands.command_json(commands_pb2.Command(state=commands_pb2.COMMAND_STATE_QUEUED))
    assert set(command) >= set(_COMMAND_KEYS.split())
    assert command["priority"] == "normal"
    event = events.event_json(events_pb2.Event(level=events_pb2.EVENT_LEVEL_AUDIT))
    assert list(event) == _EVENT_KEYS.split()


def test_times_are_rfc_3339_in_utc_with_microseconds() -> None:
    session = sessions_pb2.Session()
    assert time_text(session, "created_at") is None
    session.created_at.FromJsonString("2026-01-31T09:30:00.123456789+01:00")
    assert time_text(session, "created_at") == "2026-01-31T08:30:00.123456Z"


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("30s", 30 * 10**9), ("0.000000001s", 1), (1.5, 1_500_000_000), (0, 0), (86400, 86_400 * 10**9)],
)
def test_spans_are_read(text: Any, nanoseconds: int) -> None:
    assert read_nanoseconds(text) == nanoseconds
    made = duration(nanoseconds)
    assert made is not None
    assert made.ToNanoseconds() == nanoseconds


@pytest.mark.parametrize(
    "value", ["30", "s", "-1s", "1m", "1e3s", -1, True, None, float("inf"), float("nan"), "٣s", {}]
)
def test_what_is_no_span_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="must be a number of seconds"):
        read_nanoseconds(value)


def test_times_are_read_to_the_nanosecond() -> None:
    made = timestamp(read_moment("2026-01-31T09:30:00.123456789+01:00"))
    assert made is not None
    assert made.ToJsonString() == "2026-01-31T08:30:00.123456789Z"


@pytest.mark.parametrize(
    "value", ["2026-01-31", "2026-13-01T00:00:00Z", "2026-01-31T09:30:00", "2026-01-31 09:30:00Z", 5, None,
              "0001-01-01T00:00:00+01:00"],
)  # fmt: skip
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="must be a time"):
        read_moment(value)


@given(_JSON)
def test_json_survives_reading_and_writing(value: Any) -> None:
    assert read_json(write_json(value).encode()) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    with contextlib.suppress(ServiceError):
        write_json(read_json(body))


def test_depth_is_counted_to_64() -> None:
    read_json(b"[" * 64 + b"]" * 64)
    with pytest.raises(ServiceError, match="deeper than 64"):
        read_json(b"[" * 65 + b"]" * 65)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("agent.connector.server", "connector.server"),
        ("agent.concurrent_sessions", "exclusive"),
        ('agent.labels["a.b"]', 'labels["a.b"]'),
        ("spec.context_json", "context"),
        ("command.options.max_attempts", "maxAttempts"),
        ("events[3].payload_json", "events[3].payload"),
        ("page_size", "pageSize"),
        ("request_id", "Idempotency-Key"),
        ("command", "command"),
    ],
)
def test_paths_of_the_contract_become_names_of_rest(path: str, name: str) -> None:
    assert rest_path(path, {}) == name


def test_a_wrong_token_names_its_parameter() -> None:
    error = in_rest_words(ServiceError(Reason.PAGE_TOKEN_INVALID, "none of ours"), {})
    assert (error.message, error.violations[0].field) == ("none of ours", "pageToken")


def test_a_problem_says_when_to_try_again() -> None:
    error = ServiceError(Reason.RATE_LIMITED, "slow down", metadata={"retry_after_seconds": "7"})
    sent = problem(error, "/x")
    assert (sent.status, sent.headers["Retry-After"]) == (429, "7")
    assert orjson.loads(sent.body)["type"] == "urn:callboard:problem:rate-limited"


def test_metadata_does_not_replace_what_a_problem_says_itself() -> None:
    error = ServiceError(Reason.AGENT_EXISTS, "taken", metadata={"status": "x", "detail": "y", "agent_id": "z"})
    told = orjson.loads(problem(error, "/x").body)
    assert (told["status"], told["detail"], told["agentId"]) == (409, "taken", "z")


def test_frames_are_one_line_each() -> None:
    event = events_pb2.Event(
        event_id="e", seq=1, type="custom.a", level=events_pb2.EVENT_LEVEL_INFO, payload_json='{\r\n"a":\n1}'
    )
    batch = events_pb2.EventBatch(events=[events_pb2.StreamedEvent(event=event, cursor="c")])
    ident, kind, data, *rest = events.frames(batch).split(b"\n")
    assert (ident, kind, rest) == (b"id: c", b"event: custom.a", [b"", b""])
    assert orjson.loads(data.removeprefix(b"data: "))["payload"] == {"a": 1}
    assert b"\r" not in data


def test_values_of_json_travel_as_they_came() -> None:
    assert orjson.dumps({"x": json_value("12345678901234567890123")}) == b'{"x":12345678901234567890123}'
    assert json_value("") is None


def test_a_query_is_read_strictly() -> None:
    query = read_query(SessionQuery, b"state=init,running&state=failed&label=a:b,c&pageSize=7")
    assert (query.state, query.label, query.page_size) == (["init", "running", "failed"], ["a:b,c"], 7)
    for text in (
        b"nope=1",
        b"pageSize=7&pageSize=8",
        b"pageSize=7.0",
        b"mode=%ff",
        b"mode=\xff",
        b"&".join([b"a=b"] * 201),
    ):
        with pytest.raises(ServiceError):
            read_query(SessionQuery, text)


def test_the_router_tells_words_from_parameters() -> None:
    router: Router[str] = Router()
    for method, path in (("GET", "/a/{id}"), ("POST", "/a/{id}"), ("GET", "/a/{id}/b"), ("GET", "/a/new/b")):
        router.add(method, path, f"{method} {path}")
    found = router.find(b"/a/x%2Fy")
    assert found is not None
    assert (dict(found.targets), found.parameters) == (
        {"GET": "GET /a/{id}", "POST": "POST /a/{id}"}, {"id": "x/y"}
    )  # fmt: skip
    assert router.find(b"/a") is router.find(b"/a/") is router.find(b"/a/x/c") is router.find(b"/a/%ff") is None
    with pytest.raises(ValueError, match="twice"):
        router.add("GET", "/a/{other}", "x")


def test_every_operation_can_be_asked_and_answered() -> None:
    assert len({operation.name for operation in OPERATIONS}) == len(OPERATIONS)
    for operation in OPERATIONS:
        assert operation.follow is not None or (operation.request is not None and operation.reply is not None)
