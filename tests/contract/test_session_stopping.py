"""Stopping a session while commands run: a grace period, then force, and every stop completes (S2, C5)."""

import asyncio

import orjson

from callboard.sessions.v1 import sessions_pb2
from callboard.sessions.v1.sessions_pb2 import GetSessionRequest, RestartSessionRequest
from libs.attempts import Failure, FailureCode
from libs.ids import partition_of
from libs.rpc.stubs import Stubs
from tests.support.client_calls import CANCELLED, RUNNING, get_command, in_state, start, stop, submit
from tests.support.eventually import eventually
from tests.support.outcomes import rejected
from tests.support.scripted_executor import ScriptedExecutor
from tests.support.stored_events import assert_gapless, audit_counts, events_of, types_of
from tests.support.suite import Suite

STOPPED = sessions_pb2.SESSION_STATE_STOPPED


async def test_stop_waits_until_a_running_command_obeys_its_cancel(suite: Suite, client: Stubs) -> None:
    executor = ScriptedExecutor()
    await suite.runner(executor)
    session = await start(client)
    command = await submit(client, "hang")
    await in_state(client, command.command_id, RUNNING)
    answer = await asyncio.wait_for(stop(client, agent_id="clock"), 4)  # well before the grace period ends
    assert answer.session.state == STOPPED
    assert not executor.running
    events = await events_of(client, session.session_id)
    assert set(types_of(events[1:3])) == {"agent.connected", "command.enqueued"}  # in either order
    ways = ["command.cancel_requested", "command.cancel_acknowledged", "command.cancelled"]
    assert types_of(events[3:]) == ["command.started", "session.stopping", *ways, "session.stopped"]
    assert "forced" not in orjson.loads(events[-2].payload_json)
    await eventually(lambda: executor.closed == 1)


async def test_stop_ends_a_command_that_ignores_its_cancel_after_the_grace_period(suite: Suite, client: Stubs) -> None:
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
    assert audit_counts(events)["command.cancelled"] == 1
    assert (await get_command(client, command.command_id)).state == CANCELLED


async def test_stopping_session_rejects_starts_restarts_and_commands(suite: Suite, client: Stubs) -> None:
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
    with rejected("SESSION_STOPPING") as caught:
        await start(client)
    assert caught.value.code.name == "ABORTED"
    with rejected("SESSION_STOPPING"):
        await start(client, on_conflict=sessions_pb2.ON_CONFLICT_RESTART)
    with rejected("SESSION_STOPPING"):
        await client.sessions.RestartSession(RestartSessionRequest(agent_id="clock"))
    with rejected("SESSION_NOT_ACTIVE"):
        await submit(client)
    executor.gate.set()
    assert (await stopping).session.state == STOPPED
    assert (await start(client)).session_id != session.session_id


async def test_concurrent_stops_with_different_keys_get_the_same_session(suite: Suite, client: Stubs) -> None:
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


async def test_stop_whose_service_died_is_completed_by_another_replica(suite: Suite, client: Stubs) -> None:
    executor = ScriptedExecutor()
    await suite.runner(executor)
    session = await start(client)
    command = await submit(client, "hang")
    await in_state(client, command.command_id, RUNNING)
    # Only the first transaction of a stop, as if the service had died after it.
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
    assert await suite.value("select state from idempotency.keys where key = 'the-key'") == "done"
    assert not executor.running


async def test_session_whose_agent_cannot_be_connected_fails_with_the_reason(suite: Suite, client: Stubs) -> None:
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
    assert audit_counts(events)["session.failed"] == 1
