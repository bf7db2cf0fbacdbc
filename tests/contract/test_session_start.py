"""Starting sessions: an exclusive agent has one live session (S1, S4, S6, S7)."""

import asyncio
from collections import Counter

import pytest

from callboard import CallboardError
from callboard.agents.v1.agents_pb2 import DeleteAgentRequest
from callboard.sessions.v1 import sessions_pb2
from callboard.sessions.v1.sessions_pb2 import (
    GetSessionRequest,
    ListSessionsRequest,
    SessionSpec,
    StartSessionRequest,
    StartSessionResponse,
    StopSessionRequest,
)
from libs.ids import partition_of
from libs.rpc.stubs import Stubs
from tests.support.client_calls import make_agent, start
from tests.support.outcomes import all_of, rejected
from tests.support.stored_events import events_of, types_of
from tests.support.suite import Suite


@pytest.fixture
def command_replicas() -> int:
    return 0


async def test_200_concurrent_starts_on_two_replicas_make_one_session(suite: Suite, client: Stubs) -> None:
    await suite.session_app()
    other = suite.client(session=1)
    answers: list[StartSessionResponse] = await asyncio.gather(
        *(
            one.sessions.StartSession(StartSessionRequest(agent_id="clock"))
            for _ in range(100)
            for one in (client, other)
        )
    )
    assert len({answer.session.session_id for answer in answers}) == 1
    assert Counter(answer.created for answer in answers) == {True: 1, False: 199}
    assert await suite.value("select count(*) from session.sessions") == 1
    events = await events_of(client, answers[0].session.session_id)
    assert types_of(events) == ["session.started"]


async def test_started_session_is_active_and_has_the_requested_spec(suite: Suite, client: Stubs) -> None:
    spec = SessionSpec(
        session_id="sim-ops-2025-001", session_type=sessions_pb2.SESSION_TYPE_SIMULATION, mode="analysis", title="Ünï",
        task="do it", task_id="task/7", workspace="/w", user_id="u1", channel_id="c1", resource_id="db:1",
        labels={"team": "ops"}, context_json='{"a":  [1]}', metadata_json='{"b": "x"}',
    )  # fmt: skip
    session = await start(client, spec=spec)
    assert session.spec == spec
    assert (session.session_id, session.agent_id, session.state) == (
        "sim-ops-2025-001", "clock", sessions_pb2.SESSION_STATE_ACTIVE,
    )  # fmt: skip
    assert (session.restart_count, session.restarted_from, session.last_seq) == (0, "", 1)
    assert session.created_by.startswith("key:")
    assert not session.HasField("ended_at")
    stored = await client.sessions.GetSession(GetSessionRequest(session_id="sim-ops-2025-001"))
    assert stored.session == session
    (event,) = await events_of(client, session.session_id)
    assert (event.type, event.level, event.seq, event.correlation_id) == ("session.started", 4, 1, "task/7")
    assert (event.actor, event.agent_id) == (session.created_by, "clock")
    assert event.address


async def test_start_without_ids_generates_a_session_id_and_a_task_id(client: Stubs) -> None:
    session = await start(client)
    assert session.session_id == session.spec.session_id != ""
    assert session.spec.task_id
    found = await client.sessions.ListSessions(ListSessionsRequest(task_id=session.spec.task_id))
    assert [one.session_id for one in found.sessions] == [session.session_id]


async def test_start_for_an_unknown_agent_is_rejected_and_stores_nothing(suite: Suite, client: Stubs) -> None:
    with rejected("AGENT_NOT_FOUND"):
        await start(client, "nobody", request_id="k")
    assert await suite.value("select count(*) from session.sessions") == 0
    await make_agent(client, "nobody")
    await start(client, "nobody", request_id="k")  # errors are not stored


async def test_session_id_stays_taken_after_its_session_has_ended(client: Stubs) -> None:
    await make_agent(client, "other")
    await start(client, spec=SessionSpec(session_id="mine"))
    with rejected("SESSION_EXISTS"):
        await start(client, "other", spec=SessionSpec(session_id="mine"))
    await client.sessions.StopSession(StopSessionRequest(session_id="mine"))
    with rejected("SESSION_EXISTS"):
        await start(client, spec=SessionSpec(session_id="mine"))


async def test_concurrent_starts_of_the_same_ids_in_two_partitions_do_not_deadlock(suite: Suite, client: Stubs) -> None:
    await suite.session_app()
    names = [f"agent-{number}" for number in range(24)]
    assert len({partition_of(name) for name in names}) > 8
    for name in names:
        await make_agent(client, name, exclusive=False)
    clients = [client, suite.client(session=1)]
    ids = [f"id-{number}" for number in range(8)]
    outcomes = await all_of(
        *(
            start(clients[index % 2], name, spec=SessionSpec(session_id=id_))
            for index, name in enumerate(names)
            for id_ in (ids if index % 2 else reversed(ids))
        )
    )
    faults = [o for o in outcomes if isinstance(o, Exception) and getattr(o, "reason", "") != "SESSION_EXISTS"]
    assert faults == []
    assert sum(not isinstance(outcome, Exception) for outcome in outcomes) == len(ids)


@pytest.mark.parametrize(
    ("conflict", "outcome"),
    [
        (sessions_pb2.ON_CONFLICT_UNSPECIFIED, "existing"),
        (sessions_pb2.ON_CONFLICT_RETURN_EXISTING, "existing"),
        (sessions_pb2.ON_CONFLICT_FAIL, "refused"),
        (sessions_pb2.ON_CONFLICT_RESTART, "restarted"),
    ],
)
async def test_start_of_a_busy_agent_obeys_on_conflict(
    client: Stubs, conflict: sessions_pb2.OnConflict.ValueType, outcome: str
) -> None:
    first = await start(client, on_conflict=conflict)
    request = StartSessionRequest(agent_id="clock", on_conflict=conflict)
    if outcome == "refused":
        with rejected("SESSION_EXISTS") as caught:
            await client.sessions.StartSession(request)
        assert caught.value.metadata["session_id"] == first.session_id
        return
    second = await client.sessions.StartSession(request)
    assert second.created is (outcome == "restarted")
    assert (second.session.session_id == first.session_id) is (outcome == "existing")
    if outcome == "restarted":
        assert (second.session.restart_count, second.session.restarted_from) == (1, first.session_id)


async def test_agent_that_is_not_exclusive_can_have_many_live_sessions(client: Stubs) -> None:
    await make_agent(client, "many", exclusive=False)
    answers = await asyncio.gather(
        *(client.sessions.StartSession(StartSessionRequest(agent_id="many")) for _ in range(20))
    )
    assert all(answer.created for answer in answers)
    assert len({answer.session.session_id for answer in answers}) == 20
    with rejected("SESSION_AMBIGUOUS"):
        await client.sessions.StopSession(StopSessionRequest(agent_id="many"))
    for answer in answers[1:]:
        await client.sessions.StopSession(StopSessionRequest(session_id=answer.session.session_id))
    last = await client.sessions.StopSession(StopSessionRequest(agent_id="many"))
    assert last.session.session_id == answers[0].session.session_id


async def test_delete_that_races_with_a_start_never_removes_an_agent_in_use(suite: Suite, client: Stubs) -> None:
    for number in range(8):
        name = f"racer-{number}"
        await make_agent(client, name)
        started, deleted = await all_of(
            start(client, name), client.agents.DeleteAgent(DeleteAgentRequest(agent_id=name))
        )
        if isinstance(started, CallboardError):
            assert started.reason == "AGENT_NOT_FOUND"
            assert not isinstance(deleted, Exception)
        else:
            assert isinstance(deleted, CallboardError)
            assert deleted.reason == "AGENT_IN_USE"
    assert await suite.value(
        "select count(*) from session.sessions s where not exists"
        " (select from session.agents a where a.tenant_id = s.tenant_id and a.agent_id = s.agent_id)"
    ) == 0  # fmt: skip
