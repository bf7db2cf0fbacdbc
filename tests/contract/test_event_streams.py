"""The work stream replays, continues live, ends after the closing event and resumes after any cursor (E2 to E4)."""

import grpc
import pytest

from callboard.events.v1 import events_pb2
from callboard.sessions.v1.sessions_pb2 import RestartSessionRequest, Session
from libs.ids import partition_of
from libs.rpc.stubs import Stubs
from tests.support.client_calls import append, make_agent, start, stop
from tests.support.outcomes import rejected
from tests.support.stored_events import events_of, types_of
from tests.support.streamed_events import metadata_of, open_reader, read_events, read_to_end
from tests.support.suite import Suite


@pytest.fixture
def command_replicas() -> int:
    return 0


async def test_stream_replays_continues_live_and_ends_after_the_closing_event(client: Stubs, session: Session) -> None:
    await append(client, session.session_id, 1, 2)
    async with open_reader(client, session_id=session.session_id) as stream:
        assert (await metadata_of(stream.call))["callboard-stream"] == "live"
        await stream.has(3)
        await append(client, session.session_id, 3)
        await stream.has(4)
        await stop(client)
        await stream.over()
    assert stream.ended
    assert stream.seqs == [1, 2, 3, 4, 5]
    assert stream.events[-1].type == "session.stopped"
    assert stream.cursors[-1] == stream.cursor
    assert stream.events == await events_of(client, session.session_id)


async def test_stream_resumes_after_any_event_with_the_next_one(client: Stubs, session: Session) -> None:
    await append(client, session.session_id, *range(6))
    await stop(client)
    full = await read_to_end(client, session_id=session.session_id)
    assert full.seqs == list(range(1, 9))
    for index, cursor in enumerate(full.cursors):
        rest = await read_to_end(client, session_id=session.session_id, cursor=cursor)
        assert rest.seqs == full.seqs[index + 1 :]
        assert rest.ended


async def test_stream_resumed_after_its_closing_event_ends(client: Stubs, session: Session) -> None:
    await stop(client)
    full = await read_to_end(client, session_id=session.session_id)
    async with open_reader(client, session_id=session.session_id, cursor=full.cursor) as stream:
        assert (await metadata_of(stream.call))["callboard-stream"] == "ended"
        await stream.over()
    assert (stream.events, stream.ended, stream.cursor) == ([], True, full.cursor)


async def test_stream_from_now_starts_with_the_next_event(client: Stubs, session: Session) -> None:
    await append(client, session.session_id, 1)
    async with open_reader(client, session_id=session.session_id, start=events_pb2.STREAM_START_NOW) as stream:
        await metadata_of(stream.call)
        await append(client, session.session_id, 2)
        await stop(client)
        await stream.over()
    assert stream.seqs == [3, 4]


async def test_cursor_takes_precedence_over_start(client: Stubs, session: Session) -> None:
    await append(client, session.session_id, 1)
    await stop(client)
    full = await read_to_end(client, session_id=session.session_id)
    rest = await read_to_end(
        client, session_id=session.session_id, cursor=full.cursors[0], start=events_pb2.STREAM_START_NOW
    )
    assert rest.seqs == [2, 3]


async def test_filtered_stream_ends_although_its_filter_excludes_the_closing_event(
    client: Stubs, session: Session
) -> None:
    async with open_reader(client, session_id=session.session_id, types=["iteration"]) as stream:
        await metadata_of(stream.call)
        await append(client, session.session_id, 1)
        await stream.has(1)
        await stop(client)
        await stream.over()
    assert (stream.seqs, stream.ended) == ([2], True)
    again = await read_to_end(client, session_id=session.session_id, types=["iteration"], cursor=stream.cursor)
    assert (again.events, again.ended) == ([], True)


async def test_invalid_cursor_is_rejected_before_anything_is_sent(
    suite: Suite, client: Stubs, session: Session
) -> None:
    await append(client, session.session_id, 1)
    await make_agent(client, "other")
    other = await start(client, "other")
    own = await read_events(client, session.session_id, 2)
    for fields in (
        {"session_id": session.session_id, "cursor": "nonsense"},
        {"session_id": other.session_id, "cursor": own.cursors[0]},
        {"agent_id": "clock", "cursor": own.cursors[0]},
        {"session_id": session.session_id, "cursor": own.cursors[0] + "A"},
    ):
        with rejected("CURSOR_INVALID"):
            await read_to_end(client, **fields)
    await suite.rows("update session.log set incarnation = 2")
    with rejected("CURSOR_EXPIRED") as caught:
        await read_to_end(client, session_id=session.session_id, cursor=own.cursors[0])
    assert caught.value.code is grpc.StatusCode.OUT_OF_RANGE
    async with open_reader(
        client, session_id=session.session_id, cursor=caught.value.metadata["oldest_cursor"]
    ) as stream:
        await stream.has(2)
        assert stream.seqs == [1, 2]


async def test_stream_of_an_unknown_session_or_agent_is_rejected(suite: Suite, client: Stubs, session: Session) -> None:
    with rejected("SESSION_NOT_FOUND"):
        await read_to_end(client, session_id="nothing")
    with rejected("AGENT_NOT_FOUND"):
        await read_to_end(client, agent_id="nobody")
    stranger = suite.client(suite.new_key(tenant="globex"))
    with rejected("SESSION_NOT_FOUND"):
        await read_to_end(stranger, session_id=session.session_id)
    with rejected("AGENT_NOT_FOUND"):
        await read_to_end(stranger, agent_id="clock")


async def test_agent_stream_continues_across_restarts_without_other_agents(client: Stubs) -> None:
    neighbour = next(f"n{n}" for n in range(400) if partition_of(f"n{n}") == partition_of("clock"))
    await make_agent(client, neighbour)
    first = await start(client)
    async with open_reader(client, agent_id="clock") as live:
        await metadata_of(live.call)
        noise = await start(client, neighbour)
        await append(client, first.session_id, 1)
        await append(client, noise.session_id, 1)
        second = (await client.sessions.RestartSession(RestartSessionRequest(agent_id="clock"))).session
        await append(client, second.session_id, 1)
        await live.has(5)
    assert types_of(live.events) == [
        "iteration", "session.stopped", "session.started", "session.restarted", "iteration",
    ]  # fmt: skip
    assert {event.agent_id for event in live.events} == {"clock"}
    async with open_reader(client, agent_id="clock", start=events_pb2.STREAM_START_BEGINNING) as full:
        await full.has(6)
    assert full.events[1:] == live.events
    for index, cursor in enumerate(full.cursors[:-1]):
        async with open_reader(client, agent_id="clock", cursor=cursor) as rest:
            await rest.has(5 - index)
            assert rest.events == full.events[index + 1 :]
