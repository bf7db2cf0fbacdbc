"""Page tokens, cursors and fingerprints: valid input is read back exactly, everything else is rejected."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.agents.v1.agents_pb2 import Agent, Connector, CreateAgentRequest
from callboard.sessions.v1.sessions_pb2 import SessionSpec, StartSessionRequest
from libs.calls import read_page_token, write_page_token
from libs.errors import Reason, ServiceError
from libs.idempotency import fingerprint
from services.session.events.model import Cursor

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TYPED = {"at", "id", "seq", "uid", "until"}
"""The names whose values a page token checks: not every text is one."""
GARBAGE = st.text(max_size=60) | st.binary(max_size=40).map(lambda raw: base64.urlsafe_b64encode(raw).decode())


@given(TEXTS, st.dictionaries(TEXTS.filter(lambda name: name not in TYPED), TEXTS, max_size=3))
def test_page_token_round_trip_preserves_the_keyset(scope: str, keyset: dict[str, str]) -> None:
    token = write_page_token(scope, keyset)
    assert read_page_token(scope, token, keys=frozenset(keyset)) == keyset
    assert token.isascii()
    assert "=" not in token


@given(GARBAGE.filter(bool))
def test_garbage_is_rejected_as_a_page_token(token: str) -> None:
    with pytest.raises(ServiceError) as caught:
        read_page_token("agents", token, keys=frozenset({"after"}))
    assert caught.value.reason is Reason.PAGE_TOKEN_INVALID


@pytest.mark.parametrize(
    "body",
    ["[]", "[1]", "[1,2,3]", "{}", "1", "null", "[null,null]", '["x",{"after":"a"}]', "[1e999,{}]", '{"a":1,"b":2}'],
)
def test_json_that_is_not_a_page_token_is_rejected(body: str) -> None:
    token = base64.urlsafe_b64encode(body.encode()).decode()
    with pytest.raises(ServiceError) as caught:
        read_page_token("agents", token, keys=frozenset({"after"}))
    assert caught.value.reason is Reason.PAGE_TOKEN_INVALID


@pytest.mark.parametrize("keyset", [{"after": 1}, {"after": None}, {"other": "x"}, {"after": "a", "more": "b"}, {}])
def test_page_token_with_other_keys_is_rejected(keyset: dict[str, Any]) -> None:
    with pytest.raises(ServiceError) as caught:
        read_page_token("agents", write_page_token("agents", keyset), keys=frozenset({"after"}))
    assert caught.value.reason is Reason.PAGE_TOKEN_INVALID


def test_page_token_of_another_list_is_rejected() -> None:
    token = write_page_token("sessions agent=a", {"after": "1"})
    with pytest.raises(ServiceError) as caught:
        read_page_token("sessions agent=b", token, keys=frozenset({"after"}))
    assert caught.value.reason is Reason.PAGE_TOKEN_INVALID


@pytest.mark.parametrize(
    "keyset",
    [
        {"seq": "abc"}, {"seq": "-1"}, {"seq": "9" * 19}, {"at": "abc", "uid": "x"},
        {"at": "2026-01-01T00:00:00+00:00", "uid": "x"}, {"at": "x", "id": "00000000-0000-7000-8000-000000000000"},
    ],
)  # fmt: skip
def test_forged_keyset_is_rejected(keyset: dict[str, Any]) -> None:
    with pytest.raises(ServiceError) as caught:
        read_page_token("list", write_page_token("list", keyset), keys=frozenset(keyset))
    assert caught.value.reason is Reason.PAGE_TOKEN_INVALID


def test_empty_page_token_means_the_first_page() -> None:
    assert read_page_token("agents", "", keys=frozenset({"after"})) is None


@given(TEXTS, st.integers(0, 2**31), st.integers(0, 2**63 - 1))
def test_cursor_round_trip_preserves_the_position(scope: str, incarnation: int, at: int) -> None:
    cursor = Cursor(scope, incarnation, at)
    assert Cursor.read(cursor.text(), scope) == cursor


@given(GARBAGE)
def test_garbage_is_rejected_as_a_cursor(text: str) -> None:
    with pytest.raises(ServiceError) as caught:
        Cursor.read(text, "session/s")
    assert caught.value.reason is Reason.CURSOR_INVALID


@pytest.mark.parametrize(
    "plain",
    ["1.1.{check}.-1", "2.1.{check}.1", "1.1.{check}.1.1", "1.1.{check}", "1.x.{check}.1", "1.01.{check}.1",
     "1.1.{check}.1_0", "1.1.{check}. 1", "1.1.{check}.+1", "1.1.00000000.1", "1.1.{check}.٣"],
)  # fmt: skip
def test_cursor_in_another_spelling_is_rejected(plain: str) -> None:
    text = Cursor("session/s", 1, 1).text()
    check = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().split(".")[2]
    forged = base64.urlsafe_b64encode(plain.format(check=check).encode()).decode().rstrip("=")
    with pytest.raises(ServiceError) as caught:
        Cursor.read(forged, "session/s")
    assert caught.value.reason is Reason.CURSOR_INVALID


@pytest.mark.parametrize("other", ["session/t", "agent/s", "session/", ""])
def test_cursor_of_another_scope_is_rejected_as_such(other: str) -> None:
    with pytest.raises(ServiceError, match="another scope") as caught:
        Cursor.read(Cursor("session/s", 1, 5).text(), other)
    assert caught.value.reason is Reason.CURSOR_INVALID


def test_fingerprint_ignores_the_request_id() -> None:
    agent = Agent(agent_id="a", connector=Connector(kind="echo"), labels={"x": "1", "y": "2"})
    first = fingerprint(CreateAgentRequest(agent=agent, request_id="k1"))
    assert first == fingerprint(CreateAgentRequest(agent=agent, request_id="k2"))
    assert first != fingerprint(CreateAgentRequest(agent=Agent(agent_id="b", connector=Connector(kind="echo"))))


def test_fingerprint_ignores_the_order_of_labels() -> None:
    pairs = [(f"label{number}", str(number)) for number in range(30)]
    forward = StartSessionRequest(agent_id="a", spec=SessionSpec(labels=dict(pairs)))
    backward = StartSessionRequest(agent_id="a", spec=SessionSpec(labels=dict(reversed(pairs))))
    assert fingerprint(forward) == fingerprint(backward)


def test_fingerprint_does_not_change_the_request() -> None:
    request = StartSessionRequest(agent_id="a", request_id="k")
    fingerprint(request)
    assert request.request_id == "k"
