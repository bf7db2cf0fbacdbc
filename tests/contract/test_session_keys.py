"""Idempotency keys of starts: one key stands for one request and one answer (S5)."""

from collections import Counter

import pytest

from callboard import CallboardError
from callboard.sessions.v1.sessions_pb2 import ListSessionsRequest, SessionSpec, StartSessionRequest, StopSessionRequest
from libs.rpc.stubs import Stubs
from tests.support.client_calls import make_agent, start
from tests.support.outcomes import all_of, rejected
from tests.support.suite import Suite


@pytest.fixture
def command_replicas() -> int:
    return 0


async def test_repeated_start_with_a_key_gets_the_same_answer_after_a_stop(
    client: Stubs,
) -> None:
    request = StartSessionRequest(agent_id="clock", spec=SessionSpec(title="one"), request_id="key-1")
    first = await client.sessions.StartSession(request)
    assert first.created
    assert await client.sessions.StartSession(request) == first
    await client.sessions.StopSession(StopSessionRequest(agent_id="clock"))
    assert await client.sessions.StartSession(request) == first
    assert (await client.sessions.ListSessions(ListSessionsRequest())).sessions[0].ended_at.seconds > 0


async def test_repeated_start_that_found_a_session_keeps_finding_it(client: Stubs) -> None:
    session = await start(client)
    request = StartSessionRequest(agent_id="clock", request_id="key-1")
    first = await client.sessions.StartSession(request)
    assert (first.session.session_id, first.created) == (session.session_id, False)
    await client.sessions.StopSession(StopSessionRequest(agent_id="clock"))
    assert await client.sessions.StartSession(request) == first


async def test_key_with_another_request_is_rejected(client: Stubs) -> None:
    await start(client, request_id="key-1")
    with rejected("IDEMPOTENCY_KEY_REUSED"):
        await start(client, request_id="key-1", spec=SessionSpec(title="other"))


async def test_concurrent_starts_with_one_key_make_one_session(suite: Suite, client: Stubs) -> None:
    await suite.session_app()
    await make_agent(client, "many", exclusive=False)
    other = suite.client(session=1)
    request = StartSessionRequest(agent_id="many", request_id="twins")
    outcomes = await all_of(*(one.sessions.StartSession(request) for _ in range(10) for one in (client, other)))
    assert [o for o in outcomes if isinstance(o, Exception)] == []
    assert len({o.SerializeToString(deterministic=True) for o in outcomes}) == 1
    assert await suite.value("select count(*) from session.sessions") == 1


async def test_key_with_two_concurrent_requests_accepts_one_of_them(suite: Suite, client: Stubs) -> None:
    await make_agent(client, "many", exclusive=False)
    outcomes = await all_of(
        *(start(client, "many", request_id="key", spec=SessionSpec(title=f"{n % 2}")) for n in range(6)),
        *(start(client, "many") for _ in range(6)),
    )
    errors = Counter(o.reason for o in outcomes if isinstance(o, CallboardError))
    assert errors == {"IDEMPOTENCY_KEY_REUSED": 3}
    assert await suite.value("select count(*) from session.sessions") == 7


async def test_expired_key_starts_a_new_session(suite: Suite, client: Stubs) -> None:
    await make_agent(client, "many", exclusive=False)
    first = await start(client, "many", request_id="key")
    await suite.rows("update idempotency.keys set expires_at = now() - interval '1 second'")
    assert (await start(client, "many", request_id="key")).session_id != first.session_id


async def test_keys_of_different_operations_and_tenants_are_separate(suite: Suite, client: Stubs) -> None:
    stranger = suite.client(suite.new_key(tenant="globex"))
    await make_agent(stranger)
    first = await start(client, request_id="key")
    assert (await start(stranger, request_id="key")).session_id != first.session_id
    stopped = await client.sessions.StopSession(StopSessionRequest(agent_id="clock", request_id="key"))
    assert stopped.session.session_id == first.session_id
