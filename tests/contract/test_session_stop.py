"""Stopping and restarting sessions: nothing runs on, nothing is told twice, and no stop is left half way (S2, S3)."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from callboard.aio import CallboardError, Client
from callboard.commands.v1 import commands_pb2
from callboard.sessions.v1 import sessions_pb2
from callboard.sessions.v1.sessions_pb2 import (
    GetSessionRequest,
    ListSessionsRequest,
    RestartSessionRequest,
    SessionSpec,
    StopSessionRequest,
    StopSessionResponse,
)
from libs.ids import partition_of
from services.command.domain.failure import Failure, FailureCode
from tests.support.engines import TestNats
from tests.support.eventually import eventually
from tests.support.suite import (
    ScriptedExecutor,
    Suite,
    all_of,
    assert_gapless,
    audits_of,
    events_of,
    get_command,
    in_state,
    make_agent,
    refused,
    running_suite,
    start,
    submit,
    types_of,
)

STOPPED = sessions_pb2.SESSION_STATE_STOPPED
RUNNING = commands_pb2.COMMAND_STATE_RUNNING
CANCELLED = commands_pb2.COMMAND_STATE_CANCELLED


@pytest.fixture
async def suite(database_url: str, app_database_url: str, nats_server: TestNats) -> AsyncIterator[Suite]:
    async with running_suite(database_url, app_database_url, nats_server.url, commands=1) as running:
        yield running


@pytest.fixture
async def client(suite: Suite) -> Client:
    made = suite.client()
    await make_agent(made)
    return made


async def stop(client: Client, **fields: str) -> StopSessionResponse:
    return await client.sessions.StopSession(StopSessionRequest(**fields))


async def test_a_stop_ends_the_session_and_tells_of_it_last(client: Client) -> None:
    session = await start(client)
    answer = await stop(client, agent_id="clock", reason="enough")
    assert (answer.session.session_id, answer.session.state) == (session.session_id, STOPPED)
    assert answer.session.HasField("ended_at")
    assert answer.session.last_seq == 2
    events = await events_of(client, session.session_id)
    assert types_of(events) == ["session.started", "session.stopped"]
    assert orjson.loads(events[-1].payload_json) == {"reason": "enough"}
    assert (
        await client.sessions.GetSession(GetSessionRequest(session_id=session.session_id))
    ).session == answer.session


async def test_a_stop_without_a_live_session_is_a_no_op(client: Client) -> None:
    assert not (await stop(client, agent_id="clock")).HasField("session")
    session = await start(client)
    await stop(client, session_id=session.session_id)
    assert not (await stop(client, session_id=session.session_id)).HasField("session")
    assert not (await stop(client, agent_id="clock")).HasField("session")
    assert types_of(await events_of(client, session.session_id)) == ["session.started", "session.stopped"]


async def test_a_stop_of_what_does_not_exist_is_refused(client: Client) -> None:
    with refused("AGENT_NOT_FOUND"):
        await stop(client, agent_id="nobody")
    with refused("SESSION_NOT_FOUND"):
        await stop(client, session_id="nothing")


@pytest.mark.parametrize("by", ["agent_id", "session_id"])
async def test_a_stop_with_a_key_answers_the_same_each_time(client: Client, by: str) -> None:
    session = await start(client)
    fields = {by: "clock" if by == "agent_id" else session.session_id, "request_id": "key"}
    first = await stop(client, **fields)
    assert await stop(client, **fields) == first
    await start(client)
    assert await stop(client, **fields) == first
    live = await client.sessions.ListSessions(ListSessionsRequest(states=[sessions_pb2.SESSION_STATE_ACTIVE]))
    assert len(live.sessions) == 1
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await stop(client, **fields, reason="other")


async def test_a_no_op_stop_with_a_key_stays_a_no_op(client: Client) -> None:
    first = await stop(client, agent_id="clock", request_id="key")
    await start(client)
    assert await stop(client, agent_id="clock", request_id="key") == first
    assert not first.HasField("session")


async def test_stops_that_race_all_get_the_stopped_session_or_the_no_op(suite: Suite, client: Client) -> None:
    await suite.session_app()
    other = suite.client(session=1)
    session = await start(client)
    answers = await asyncio.gather(*(stop(one, agent_id="clock") for _ in range(10) for one in (client, other)))
    named = {answer.session.session_id for answer in answers if answer.HasField("session")}
    assert named == {session.session_id}
    assert types_of(await events_of(client, session.session_id)) == ["session.started", "session.stopped"]


async def test_a_stop_cancels_what_waits_each_with_one_event_before_the_closing_one(
    suite: Suite, client: Client
) -> None:
    session = await start(client)
    commands = [await submit(client) for _ in range(3)]  # no runner is there
    answer = await stop(client, agent_id="clock")
    assert answer.session.state == STOPPED
    events = await events_of(client, session.session_id)
    assert_gapless(events)
    assert audits_of(events) == {
        "session.started": 1, "command.enqueued": 3, "command.cancelled": 3, "session.stopped": 1,
    }  # fmt: skip
    assert events[-1].type == "session.stopped"
    cancelled = [event.command_id for event in events if event.type == "command.cancelled"]
    assert cancelled == [command.command_id for command in commands]
    for command in commands:
        assert (await get_command(client, command.command_id)).state == CANCELLED
    assert await suite.value("select count(*) from command.ready") == 0
    assert await suite.value("select count(*) from command.connections") == 0


async def test_a_stop_of_many_waiting_commands_takes_several_transactions(suite: Suite, client: Client) -> None:
    session = await start(client)
    spec = commands_pb2.CommandSpec(agent_id="clock", type="echo")
    for _ in range(2):
        await client.commands.BulkSubmitCommands(commands_pb2.BulkSubmitCommandsRequest(commands=[spec] * 600))
    answer = await stop(client, agent_id="clock")
    assert answer.session.state == STOPPED
    events = await events_of(client, session.session_id)
    assert_gapless(events)
    assert audits_of(events)["command.cancelled"] == 1200
    assert events[-1].type == "session.stopped"
    # What one transaction wrote has one time: the chunks were 500, 500 and 200.
    sizes = await suite.rows(
        "select count(*) from session.events where type = 'command.cancelled' group by created_at order by created_at"
    )
    assert [size for (size,) in sizes] == [500, 500, 200]


async def test_a_stop_waits_for_a_running_command_to_heed_its_cancel(suite: Suite, client: Client) -> None:
    executor = ScriptedExecutor()
    await suite.runner(executor)
    session = await start(client)
    command = await submit(client, "hang")
    await in_state(client, command.command_id, RUNNING)
    answer = await asyncio.wait_for(stop(client, agent_id="clock"), 4)  # well before the grace is over
    assert answer.session.state == STOPPED
    assert not executor.running
    events = await events_of(client, session.session_id)
    assert set(types_of(events[1:3])) == {"agent.connected", "command.enqueued"}  # whichever was first
    assert types_of(events[3:]) == ["command.started", "session.stopping", "command.cancelled", "session.stopped"]
    assert "forced" not in orjson.loads(events[-2].payload_json)
    await eventually(lambda: executor.closed == 1)


async def test_a_stop_forces_a_running_command_that_heeds_no_cancel_after_the_grace(
    suite: Suite, client: Client
) -> None:
    executor = ScriptedExecutor()
    await suite.runner(executor)
    session = await start(client)
    command = await submit(client, "deaf")
    await in_state(client, command.command_id, RUNNING)
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await stop(client, agent_id="clock")
    assert 4.5 < loop.time() - began < 9
    assert answer.session.state == STOPPED
    executor.gate.set()
    await eventually(lambda: not executor.running)
    events = await events_of(client, session.session_id)
    assert events[-1].type == "session.stopped"
    assert audits_of(events)["command.cancelled"] == 1
    assert (await get_command(client, command.command_id)).state == CANCELLED


async def test_a_stopping_session_takes_no_start_no_command_and_no_event(suite: Suite, client: Client) -> None:
    executor = ScriptedExecutor()
    await suite.runner(executor)
    session = await start(client)
    command = await submit(client, "deaf")
    await in_state(client, command.command_id, RUNNING)
    stopping = asyncio.create_task(stop(client, agent_id="clock"))
    uid = {"session_id": session.session_id}

    async def is_stopping() -> bool:
        found = await client.sessions.GetSession(GetSessionRequest(**uid))
        return found.session.state == sessions_pb2.SESSION_STATE_STOPPING

    await eventually(is_stopping)
    with refused("SESSION_STOPPING") as caught:
        await start(client)
    assert caught.value.code.name == "ABORTED"
    with refused("SESSION_STOPPING"):
        await start(client, on_conflict=sessions_pb2.ON_CONFLICT_RESTART)
    with refused("SESSION_STOPPING"):
        await client.sessions.RestartSession(RestartSessionRequest(agent_id="clock"))
    with refused("SESSION_NOT_ACTIVE"):
        await submit(client)
    executor.gate.set()
    assert (await stopping).session.state == STOPPED
    assert (await start(client)).session_id != session.session_id


async def test_a_stop_that_joins_another_answers_the_same_session_and_its_key_keeps_answering_so(
    suite: Suite, client: Client
) -> None:
    executor = ScriptedExecutor()
    await suite.runner(executor)
    session = await start(client)
    command = await submit(client, "deaf")
    await in_state(client, command.command_id, RUNNING)
    stops = [asyncio.create_task(stop(client, agent_id="clock", request_id=key)) for key in ("k1", "k2")]
    await eventually(lambda: suite.value("select count(*) = 1 from session.sessions where state = 'stopping'"))
    executor.gate.set()
    answers = await asyncio.gather(*stops)
    assert [answer.session.session_id for answer in answers] == [session.session_id] * 2
    for key, answer in zip(("k1", "k2"), answers, strict=True):
        again = await stop(client, agent_id="clock", request_id=key)
        assert again.session.session_id == answer.session.session_id


async def test_a_stop_whose_service_died_is_carried_on_by_another_replica(suite: Suite, client: Client) -> None:
    executor = ScriptedExecutor()
    await suite.runner(executor)
    session = await start(client)
    command = await submit(client, "hang")
    await in_state(client, command.command_id, RUNNING)
    # The first transaction of a stop, and then nobody who carries it on.
    request = {
        "agent_id": "clock", "session_id": None, "state": "stopped", "reason": None, "actor": "key:x", "address": "-",
        "grace_ms": 5000, "method": "stop", "key": "the-key", "hash": "00", "successor": None,
    }  # fmt: skip
    code = await suite.value(
        "select code from session.stop('acme', %s::smallint, %s::jsonb)",
        partition_of("clock"), orjson.dumps(request).decode(),
    )  # fmt: skip
    assert code == "stopping"

    async def has_stopped() -> bool:
        found = await client.sessions.GetSession(GetSessionRequest(session_id=session.session_id))
        return found.session.state == STOPPED

    await eventually(has_stopped, 15)
    events = await events_of(client, session.session_id)
    assert_gapless(events)
    assert types_of(events)[-2:] == ["command.cancelled", "session.stopped"]
    assert await suite.value("select state from session.idempotency where key = 'the-key'") == "done"
    assert not executor.running


async def test_a_restart_ends_the_session_and_starts_its_successor_in_one_transaction(
    suite: Suite, client: Client
) -> None:
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
    assert audits_of(events) == {"session.started": 1, "session.restarted": 1}
    assert orjson.loads(events[1].payload_json) == {
        "restartCount": 1, "previousSessionId": "first", "reason": "fresh",
    }  # fmt: skip
    assert await suite.value("select count(distinct created_at) from session.events where position > 1") == 1
    third = (await client.sessions.RestartSession(RestartSessionRequest(agent_id="clock"))).session
    assert (third.restart_count, third.restarted_from) == (2, successor.session_id)


async def test_a_restart_with_a_spec_takes_that_and_nothing_of_the_session_before(client: Client) -> None:
    await start(client, spec=SessionSpec(title="old", labels={"a": "b"}))
    request = RestartSessionRequest(agent_id="clock", spec=SessionSpec(session_id="next", mode="script"))
    answer = await client.sessions.RestartSession(request)
    assert (answer.session.session_id, answer.session.spec.title, answer.session.spec.mode) == ("next", "", "script")
    assert dict(answer.session.spec.labels) == {}


async def test_a_restart_with_nothing_live_starts_a_session(client: Client) -> None:
    answer = await client.sessions.RestartSession(RestartSessionRequest(agent_id="clock"))
    assert not answer.HasField("previous")
    assert (answer.session.restart_count, answer.session.restarted_from) == (0, "")
    assert types_of(await events_of(client, answer.session.session_id)) == ["session.started"]


async def test_a_restart_into_a_taken_session_id_is_refused_and_stops_nothing(client: Client) -> None:
    await start(client, spec=SessionSpec(session_id="mine"))
    with refused("SESSION_EXISTS"):
        await client.sessions.RestartSession(
            RestartSessionRequest(agent_id="clock", spec=SessionSpec(session_id="mine"), request_id="k")
        )
    live = await client.sessions.GetSession(GetSessionRequest(session_id="mine"))
    assert live.session.state == sessions_pb2.SESSION_STATE_ACTIVE


async def test_a_restart_with_a_key_happens_once(client: Client) -> None:
    await start(client)
    request = RestartSessionRequest(agent_id="clock", request_id="key")
    first = await client.sessions.RestartSession(request)
    assert await client.sessions.RestartSession(request) == first
    await stop(client, agent_id="clock")
    assert await client.sessions.RestartSession(request) == first


async def test_restarts_that_race_leave_one_live_session_and_count_one_by_one(suite: Suite, client: Client) -> None:
    await suite.session_app()
    other = suite.client(session=1)
    await start(client)
    request = RestartSessionRequest(agent_id="clock")
    outcomes = await all_of(*(one.sessions.RestartSession(request) for _ in range(8) for one in (client, other)))
    assert [o for o in outcomes if isinstance(o, Exception)] == []
    assert sorted(o.session.restart_count for o in outcomes) == list(range(1, 17))
    live = await client.sessions.ListSessions(ListSessionsRequest(states=[sessions_pb2.SESSION_STATE_ACTIVE]))
    assert [session.restart_count for session in live.sessions] == [16]


async def test_a_restart_that_waits_for_a_running_command_starts_the_successor_in_the_end(
    suite: Suite, client: Client
) -> None:
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


async def test_starts_stops_and_restarts_at_once_never_leave_two_live_sessions(suite: Suite, client: Client) -> None:
    await suite.session_app()
    other = suite.client(session=1)

    async def play(one: Client, seed: int) -> None:
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
        assert all(count == 1 for count in audits_of(events).values())


async def test_a_session_whose_agent_cannot_be_connected_fails_with_the_reason(suite: Suite, client: Client) -> None:
    executor = ScriptedExecutor()
    executor.refuse = Failure(FailureCode.SERVER_NOT_REGISTERED, "there is no such server", retryable=False)
    session = await start(client)
    command = await submit(client)
    await suite.runner(executor)

    async def has_failed() -> bool:
        found = await client.sessions.GetSession(GetSessionRequest(session_id=session.session_id))
        assert found.session.state == sessions_pb2.SESSION_STATE_FAILED, found
        assert (found.session.error.code, found.session.error.message) == (
            "SERVER_NOT_REGISTERED", "there is no such server",
        )  # fmt: skip
        return True

    await eventually(has_failed)
    assert (await get_command(client, command.command_id)).state == CANCELLED
    events = await events_of(client, session.session_id)
    assert events[-1].type == "session.failed"
    assert audits_of(events)["session.failed"] == 1
