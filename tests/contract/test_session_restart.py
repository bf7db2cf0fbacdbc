"""A restart ends a session and starts its successor in one transaction (S3)."""

import asyncio

import orjson

from callboard import CallboardError
from callboard.commands.v1 import commands_pb2
from callboard.sessions.v1 import sessions_pb2
from callboard.sessions.v1.sessions_pb2 import (
    GetSessionRequest,
    ListSessionsRequest,
    RestartSessionRequest,
    SessionSpec,
)
from libs.rpc.stubs import Stubs
from tests.support.client_calls import CANCELLED, RUNNING, get_command, in_state, start, stop, submit
from tests.support.outcomes import all_of, rejected
from tests.support.scripted_executor import ScriptedExecutor
from tests.support.stored_events import assert_gapless, audit_counts, events_of, types_of
from tests.support.suite import Suite

STOPPED = sessions_pb2.SESSION_STATE_STOPPED


async def test_restart_ends_a_session_and_starts_its_successor_atomically(suite: Suite, client: Stubs) -> None:
    spec = SessionSpec(
        session_id="first", session_type=sessions_pb2.SESSION_TYPE_POLICY, title="T", mode="query",
        task_id="task-1", labels={"a": "b"}, context_json='{"x": 1}', metadata_json='{"y": 2}', user_id="u",
    )  # fmt: skip
    first = await start(client, spec=spec)
    answer = await client.sessions.RestartSession(RestartSessionRequest(agent_id="clock", reason="fresh"))
    assert answer.previous.session_id == "first"
    assert answer.previous.state == STOPPED
    successor = answer.session
    assert (successor.restart_count, successor.restarted_from) == (1, "first")
    assert successor.session_id not in ("first", "")
    inherited = SessionSpec()
    inherited.CopyFrom(spec)
    inherited.session_id = successor.session_id
    assert successor.spec == inherited
    assert successor.state == first.state
    assert types_of(await events_of(client, "first")) == ["session.started", "session.stopped"]
    events = await events_of(client, successor.session_id)
    assert audit_counts(events) == {"session.started": 1, "session.restarted": 1}
    assert orjson.loads(events[1].payload_json) == {
        "restartCount": 1, "previousSessionId": "first", "reason": "fresh",
    }  # fmt: skip
    assert await suite.value("select count(distinct created_at) from session.events where position > 1") == 1
    third = (await client.sessions.RestartSession(RestartSessionRequest(agent_id="clock"))).session
    assert (third.restart_count, third.restarted_from) == (2, successor.session_id)


async def test_restart_with_a_spec_inherits_nothing(client: Stubs) -> None:
    await start(client, spec=SessionSpec(title="old", labels={"a": "b"}))
    request = RestartSessionRequest(agent_id="clock", spec=SessionSpec(session_id="next", mode="script"))
    answer = await client.sessions.RestartSession(request)
    assert (answer.session.session_id, answer.session.spec.title, answer.session.spec.mode) == ("next", "", "script")
    assert dict(answer.session.spec.labels) == {}


async def test_restart_without_a_live_session_starts_one(client: Stubs) -> None:
    answer = await client.sessions.RestartSession(RestartSessionRequest(agent_id="clock"))
    assert not answer.HasField("previous")
    assert (answer.session.restart_count, answer.session.restarted_from) == (0, "")
    assert types_of(await events_of(client, answer.session.session_id)) == ["session.started"]


async def test_restart_with_a_taken_session_id_is_rejected_and_stops_nothing(client: Stubs) -> None:
    await start(client, spec=SessionSpec(session_id="mine"))
    with rejected("SESSION_EXISTS"):
        await client.sessions.RestartSession(
            RestartSessionRequest(agent_id="clock", spec=SessionSpec(session_id="mine"), request_id="k")
        )
    live = await client.sessions.GetSession(GetSessionRequest(session_id="mine"))
    assert live.session.state == sessions_pb2.SESSION_STATE_ACTIVE


async def test_repeated_restart_with_a_key_happens_once(client: Stubs) -> None:
    await start(client)
    request = RestartSessionRequest(agent_id="clock", request_id="key")
    first = await client.sessions.RestartSession(request)
    assert await client.sessions.RestartSession(request) == first
    await stop(client, agent_id="clock")
    assert await client.sessions.RestartSession(request) == first


async def test_concurrent_restarts_leave_one_live_session(suite: Suite, client: Stubs) -> None:
    await suite.session_app()
    other = suite.client(session=1)
    await start(client)
    request = RestartSessionRequest(agent_id="clock")
    outcomes = await all_of(*(one.sessions.RestartSession(request) for _ in range(8) for one in (client, other)))
    assert [o for o in outcomes if isinstance(o, Exception)] == []
    assert sorted(o.session.restart_count for o in outcomes) == list(range(1, 17))
    live = await client.sessions.ListSessions(ListSessionsRequest(states=[sessions_pb2.SESSION_STATE_ACTIVE]))
    assert [session.restart_count for session in live.sessions] == [16]


async def test_restart_cancels_a_running_command_and_then_starts_the_successor(suite: Suite, client: Stubs) -> None:
    executor = ScriptedExecutor()
    await suite.runner(executor)
    first = await start(client)
    command = await submit(client, "hang")
    await in_state(client, command.command_id, RUNNING)
    answer = await asyncio.wait_for(client.sessions.RestartSession(RestartSessionRequest(agent_id="clock")), 4)
    assert answer.previous.session_id == first.session_id
    assert (await get_command(client, command.command_id)).state == CANCELLED
    again = await submit(client, "echo", {"a": 1})
    assert again.session_id == answer.session.session_id
    await in_state(client, again.command_id, commands_pb2.COMMAND_STATE_SUCCEEDED)


async def test_concurrent_starts_stops_and_restarts_leave_at_most_one_live_session(suite: Suite, client: Stubs) -> None:
    await suite.session_app()
    other = suite.client(session=1)

    async def play(one: Stubs, seed: int) -> None:
        for step in range(8):
            match (seed + step) % 3:
                case 0:
                    outcome = await all_of(start(one))
                case 1:
                    outcome = await all_of(stop(one, agent_id="clock"))
                case _:
                    outcome = await all_of(one.sessions.RestartSession(RestartSessionRequest(agent_id="clock")))
            if isinstance(outcome[0], Exception):
                assert isinstance(outcome[0], CallboardError)
                assert outcome[0].reason == "SESSION_STOPPING"

    await asyncio.gather(*(play((client, other)[seed % 2], seed) for seed in range(12)))
    assert await suite.value("select count(*) from session.sessions where ended_at is null") <= 1
    overlaps = await suite.value(
        "select count(*) from session.sessions a join session.sessions b on a.session_uid < b.session_uid"
        " and a.started_at < b.ended_at and b.started_at < a.ended_at"
    )
    assert overlaps == 0
    for (session_id,) in await suite.rows("select session_id from session.sessions"):
        events = await events_of(client, session_id)
        assert_gapless(events)
        assert all(count == 1 for count in audit_counts(events).values())
