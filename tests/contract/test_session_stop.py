"""Stopping sessions: the closing event is the last one, and waiting commands are cancelled (S2)."""

import asyncio

import orjson
import pytest

from callboard.commands.v1 import commands_pb2
from callboard.sessions.v1 import sessions_pb2
from callboard.sessions.v1.sessions_pb2 import GetSessionRequest, ListSessionsRequest
from libs.rpc.stubs import Stubs
from tests.support.client_calls import CANCELLED, get_command, start, stop, submit
from tests.support.outcomes import rejected
from tests.support.stored_events import assert_gapless, audit_counts, events_of, types_of
from tests.support.suite import Suite

STOPPED = sessions_pb2.SESSION_STATE_STOPPED


async def test_stop_ends_the_session_with_one_closing_event(client: Stubs) -> None:
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


async def test_stop_without_a_live_session_does_nothing(client: Stubs) -> None:
    assert not (await stop(client, agent_id="clock")).HasField("session")
    session = await start(client)
    await stop(client, session_id=session.session_id)
    assert not (await stop(client, session_id=session.session_id)).HasField("session")
    assert not (await stop(client, agent_id="clock")).HasField("session")
    assert types_of(await events_of(client, session.session_id)) == ["session.started", "session.stopped"]


async def test_stop_of_an_unknown_agent_or_session_is_rejected(client: Stubs) -> None:
    with rejected("AGENT_NOT_FOUND"):
        await stop(client, agent_id="nobody")
    with rejected("SESSION_NOT_FOUND"):
        await stop(client, session_id="nothing")


@pytest.mark.parametrize("by", ["agent_id", "session_id"])
async def test_repeated_stop_with_a_key_gets_the_same_answer(client: Stubs, by: str) -> None:
    session = await start(client)
    fields = {by: "clock" if by == "agent_id" else session.session_id, "request_id": "key"}
    first = await stop(client, **fields)
    assert await stop(client, **fields) == first
    await start(client)
    assert await stop(client, **fields) == first
    live = await client.sessions.ListSessions(ListSessionsRequest(states=[sessions_pb2.SESSION_STATE_ACTIVE]))
    assert len(live.sessions) == 1
    with rejected("IDEMPOTENCY_KEY_REUSED"):
        await stop(client, **fields, reason="other")


async def test_repeated_stop_that_did_nothing_does_nothing_later(client: Stubs) -> None:
    first = await stop(client, agent_id="clock", request_id="key")
    await start(client)
    assert await stop(client, agent_id="clock", request_id="key") == first
    assert not first.HasField("session")


async def test_concurrent_stops_end_the_session_once(suite: Suite, client: Stubs) -> None:
    await suite.session_app()
    other = suite.client(session=1)
    session = await start(client)
    answers = await asyncio.gather(*(stop(one, agent_id="clock") for _ in range(10) for one in (client, other)))
    named = {answer.session.session_id for answer in answers if answer.HasField("session")}
    assert named == {session.session_id}
    assert types_of(await events_of(client, session.session_id)) == ["session.started", "session.stopped"]


async def test_stop_cancels_waiting_commands_before_the_closing_event(suite: Suite, client: Stubs) -> None:
    session = await start(client)
    commands = [await submit(client) for _ in range(3)]  # there is no runner
    answer = await stop(client, agent_id="clock")
    assert answer.session.state == STOPPED
    events = await events_of(client, session.session_id)
    assert_gapless(events)
    assert audit_counts(events) == {
        "session.started": 1, "command.enqueued": 3, "command.cancelled": 3, "session.stopped": 1,
    }  # fmt: skip
    assert events[-1].type == "session.stopped"
    cancelled = [event.command_id for event in events if event.type == "command.cancelled"]
    assert cancelled == [command.command_id for command in commands]
    for command in commands:
        assert (await get_command(client, command.command_id)).state == CANCELLED
    assert await suite.value("select count(*) from command.ready") == 0
    assert await suite.value("select count(*) from command.connections") == 0


async def test_stop_cancels_many_commands_in_several_transactions(suite: Suite, client: Stubs) -> None:
    session = await start(client)
    spec = commands_pb2.CommandSpec(agent_id="clock", type="echo")
    for _ in range(2):
        await client.commands.BulkSubmitCommands(commands_pb2.BulkSubmitCommandsRequest(commands=[spec] * 600))
    answer = await stop(client, agent_id="clock")
    assert answer.session.state == STOPPED
    events = await events_of(client, session.session_id)
    assert_gapless(events)
    assert audit_counts(events)["command.cancelled"] == 1200
    assert events[-1].type == "session.stopped"
    # All events of one transaction have the same time: the batches were 500, 500 and 200.
    sizes = await suite.rows(
        "select count(*) from session.events where type = 'command.cancelled' group by created_at order by created_at"
    )
    assert [size for (size,) in sizes] == [500, 500, 200]
