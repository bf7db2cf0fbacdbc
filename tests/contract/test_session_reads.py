"""Reading sessions: tenants are separate, lists take every filter, and transitions name their actor (E6)."""

import pytest

from callboard.sessions.v1 import sessions_pb2
from callboard.sessions.v1.sessions_pb2 import GetSessionRequest, ListSessionsRequest, SessionSpec, StopSessionRequest
from libs.rpc.stubs import Stubs
from tests.support.client_calls import make_agent, start
from tests.support.outcomes import rejected
from tests.support.stored_events import assert_gapless, audit_counts, events_of
from tests.support.suite import Suite


@pytest.fixture
def command_replicas() -> int:
    return 0


async def test_agents_and_sessions_of_another_tenant_are_not_found(suite: Suite, client: Stubs) -> None:
    session = await start(client)
    stranger = suite.client(suite.new_key(tenant="globex"))
    with rejected("AGENT_NOT_FOUND"):
        await start(stranger)
    for call in (
        stranger.sessions.GetSession(GetSessionRequest(session_id=session.session_id)),
        stranger.sessions.StopSession(StopSessionRequest(session_id=session.session_id)),
        events_of(stranger, session.session_id),
    ):
        with rejected("SESSION_NOT_FOUND"):
            await call
    assert (await stranger.sessions.ListSessions(ListSessionsRequest())).sessions == []


async def test_two_tenants_can_use_the_same_ids(suite: Suite, client: Stubs) -> None:
    stranger = suite.client(suite.new_key(tenant="globex"))
    await make_agent(stranger)
    for one in (client, stranger):
        session = await start(one, spec=SessionSpec(session_id="same"))
        assert session.created_by
    assert await suite.value("select count(*) from session.sessions where session_id = 'same'") == 2


async def test_sessions_are_listed_newest_first_in_pages_by_every_filter(client: Stubs) -> None:
    await make_agent(client, "many", exclusive=False)
    made = [
        await start(client, "many", spec=SessionSpec(
            user_id=f"u{number % 2}", mode="query" if number < 3 else "", labels={"n": str(number % 3), "x": "1"}))
        for number in range(7)
    ]  # fmt: skip
    newest = [session.session_id for session in reversed(made)]

    async def listed(**fields: object) -> list[str]:
        found: list[str] = []
        token = ""
        while True:
            request = ListSessionsRequest(page_size=2, page_token=token, **fields)  # type: ignore[arg-type]
            page = await client.sessions.ListSessions(request)
            assert len(page.sessions) <= 2
            found += [session.session_id for session in page.sessions]
            if not (token := page.next_page_token):
                return found

    assert await listed() == newest
    assert await listed(user_id="u0") == newest[::2]
    assert await listed(mode="query") == newest[4:]
    assert await listed(labels={"n": "1", "x": "1"}) == [newest[2], newest[5]]
    assert await listed(agent_id="clock") == []
    assert await listed(created_after=made[3].created_at) == newest[:4]
    assert await listed(created_before=made[3].created_at) == newest[4:]
    await client.sessions.StopSession(StopSessionRequest(session_id=newest[0]))
    assert await listed(states=[sessions_pb2.SESSION_STATE_STOPPED]) == newest[:1]
    assert await listed(states=[sessions_pb2.SESSION_STATE_ACTIVE]) == newest[1:]
    page = await client.sessions.ListSessions(ListSessionsRequest(page_size=2))
    with rejected("PAGE_TOKEN_INVALID"):
        await client.sessions.ListSessions(ListSessionsRequest(page_token=page.next_page_token, mode="query"))


async def test_every_transition_has_one_audit_event_with_actor_and_address(client: Stubs) -> None:
    session = await start(client)
    await start(client)
    await client.sessions.StopSession(StopSessionRequest(agent_id="clock", reason="done"))
    events = await events_of(client, session.session_id)
    assert_gapless(events)
    assert audit_counts(events) == {"session.started": 1, "session.stopped": 1}
    assert all(event.actor.startswith("key:") and event.address for event in events if event.level == 4)
