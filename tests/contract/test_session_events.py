"""The work stream: stored first, then told; each event once and in order, whatever breaks meanwhile (E1 to E6)."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import orjson
import pytest

from callboard.aio import Client
from callboard.events.v1 import events_pb2
from callboard.events.v1.events_pb2 import (
    AppendEventsRequest,
    AppendEventsResponse,
    Event,
    ListEventsRequest,
    NewEvent,
    StreamEventsRequest,
)
from callboard.sessions.v1.sessions_pb2 import RestartSessionRequest, Session, StopSessionRequest
from libs.bus import Bus, Hints
from libs.ids import partition_of
from libs.signals import encode_hint, events_subject
from tests.support.engines import TestNats
from tests.support.eventually import eventually
from tests.support.suite import (
    TENANT,
    Process,
    Suite,
    assert_gapless,
    events_of,
    make_agent,
    refused,
    running_suite,
    start,
    types_of,
)


@pytest.fixture
async def suite(database_url: str, app_database_url: str, nats_server: TestNats) -> AsyncIterator[Suite]:
    async with running_suite(database_url, app_database_url, nats_server.url) as running:
        yield running


@pytest.fixture
async def client(suite: Suite) -> Client:
    made = suite.client()
    await make_agent(made)
    return made


@pytest.fixture
async def session(client: Client) -> Session:
    return await start(client)


async def append(client: Client, session_id: str, *payloads: Any, **fields: Any) -> AppendEventsResponse:
    events = [
        NewEvent(type=fields.get("type", "iteration"), payload_json=orjson.dumps({"n": payload}).decode())
        for payload in payloads
    ]
    return await client.events.AppendEvents(
        AppendEventsRequest(session_id=session_id, events=events, request_id=fields.get("request_id", ""))
    )


async def stop(client: Client) -> None:
    await client.sessions.StopSession(StopSessionRequest(agent_id="clock"))


class Reading:
    """A stream, read into a list in the background."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.events: list[Event] = []
        self.cursors: list[str] = []
        self.cursor = ""
        self.ended = False
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for response in self.call:
            for streamed in response.batch.events:
                self.events.append(streamed.event)
                self.cursors.append(streamed.cursor)
            self.cursor = response.cursor
            self.ended = self.ended or response.HasField("end")

    @property
    def seqs(self) -> list[int]:
        return [event.seq for event in self.events]

    async def has(self, count: int) -> None:
        def is_there() -> bool:
            assert len(self.events) >= count, f"{len(self.events)} of {count}: {self.seqs[-5:]}, {self.task}"
            return True

        await eventually(is_there)

    async def over(self) -> "Reading":
        await asyncio.wait_for(self.task, 10)
        return self


@asynccontextmanager
async def reading(client: Client, **fields: Any) -> AsyncIterator[Reading]:
    made = Reading(client.events.StreamEvents(StreamEventsRequest(**fields)))
    try:
        yield made
    finally:
        made.call.cancel()
        made.task.cancel()
        await asyncio.gather(made.task, return_exceptions=True)


async def whole(client: Client, **fields: Any) -> Reading:
    async with reading(client, **fields) as stream:
        return await stream.over()


async def metadata_of(call: Any) -> dict[str, Any]:
    return dict(await call.initial_metadata())


# pages


async def test_pages_of_events_follow_each_other_without_hole_or_repeat(client: Client, session: Session) -> None:
    await append(client, session.session_id, *range(23))
    found: list[Event] = []
    token, pages = "", 0
    while True:
        request = ListEventsRequest(session_id=session.session_id, page_size=5, page_token=token)
        page = await client.events.ListEvents(request)
        found += page.events
        pages += 1
        if not (token := page.next_page_token):
            break
        assert len(page.events) == 5
    assert_gapless(found)
    assert len(found) == 24
    assert pages == 5
    assert [orjson.loads(event.payload_json)["n"] for event in found[1:]] == list(range(23))


async def test_a_page_that_ends_with_the_last_event_has_no_next_one(client: Client, session: Session) -> None:
    await append(client, session.session_id, *range(4))
    page = await client.events.ListEvents(ListEventsRequest(session_id=session.session_id, page_size=5))
    assert (len(page.events), page.next_page_token) == (5, "")


async def test_filters_choose_by_type_family_and_level_on_pages_and_streams(client: Client, session: Session) -> None:
    names = ["custom.a.one", "custom.a.two", "custom.b", "iteration", "tool.called"]
    for level, name in enumerate(names):
        event = NewEvent(type=name, level=events_pb2.EventLevel.ValueType(level % 4))
        await client.events.AppendEvents(AppendEventsRequest(session_id=session.session_id, events=[event]))
    await stop(client)
    for wanted, levels, expected in (
        (["custom.a.*"], [], names[:2]),
        (["custom.*"], [], names[:3]),
        (["iteration", "custom.b"], [], ["custom.b", "iteration"]),
        (["custom.a"], [], []),
        ([], [events_pb2.EVENT_LEVEL_AUDIT], ["session.started", "session.stopped"]),
        ([], [events_pb2.EVENT_LEVEL_INFO], ["custom.a.one", "custom.a.two", "tool.called"]),
        (["custom.*"], [events_pb2.EVENT_LEVEL_WARN], ["custom.b"]),
    ):
        listed = await events_of(client, session.session_id, types=wanted, levels=levels)
        assert types_of(listed) == expected
        streamed = await whole(client, session_id=session.session_id, types=wanted, levels=levels)
        assert types_of(streamed.events) == expected
        assert streamed.ended


async def test_tokens_of_other_lists_and_garbage_are_refused(client: Client, session: Session) -> None:
    await append(client, session.session_id, *range(9))
    page = await client.events.ListEvents(ListEventsRequest(session_id=session.session_id, page_size=2))
    await make_agent(client, "other")
    other = await start(client, "other")
    for fields in (
        {"session_id": other.session_id, "page_token": page.next_page_token},
        {"session_id": session.session_id, "page_token": page.next_page_token, "types": ["iteration"]},
        {"session_id": session.session_id, "page_token": "nonsense"},
    ):
        with refused("PAGE_TOKEN_INVALID"):
            await client.events.ListEvents(ListEventsRequest(**fields))


# appends


async def test_an_append_is_numbered_and_says_who_did_it(client: Client, session: Session) -> None:
    answer = await append(client, session.session_id, 1, 2, 3)
    assert (answer.first_seq, answer.last_seq) == (2, 4)
    event = (await events_of(client, session.session_id))[1]
    assert (event.type, event.level, event.actor) == ("iteration", events_pb2.EVENT_LEVEL_INFO, session.created_by)
    assert (event.session_id, event.agent_id) == (session.session_id, "clock")


async def test_an_append_with_a_key_is_stored_once_also_when_the_session_has_stopped(
    client: Client, session: Session
) -> None:
    first = await append(client, session.session_id, 1, 2, request_id="k")
    assert await append(client, session.session_id, 1, 2, request_id="k") == first
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await append(client, session.session_id, 1, 3, request_id="k")
    await stop(client)
    assert await append(client, session.session_id, 1, 2, request_id="k") == first
    assert len(await events_of(client, session.session_id)) == 4


async def test_an_ended_session_takes_no_events(client: Client, session: Session) -> None:
    await stop(client)
    with refused("SESSION_NOT_ACTIVE") as caught:
        await append(client, session.session_id, 1)
    assert caught.value.metadata["state"] == "stopped"
    assert types_of(await events_of(client, session.session_id))[-1] == "session.stopped"


@pytest.mark.parametrize(
    "event",
    [
        NewEvent(type="session.stopped"),
        NewEvent(type="command.completed"),
        NewEvent(type="custom"),
        NewEvent(type="iteration", level=events_pb2.EVENT_LEVEL_AUDIT),
        NewEvent(type="iteration", payload_json="[]"),
        NewEvent(type="iteration", payload_json='{"a": "\\u0000"}'),
        NewEvent(type="iteration", payload_json='{"a": "\\ud800"}'),
        NewEvent(type="iteration", payload_json='{"a": 1e400}'),
    ],
)
async def test_events_that_callers_may_not_append_are_refused_with_all_of_their_batch(
    client: Client, session: Session, event: NewEvent
) -> None:
    with refused("FIELD_INVALID"):
        await client.events.AppendEvents(
            AppendEventsRequest(session_id=session.session_id, events=[NewEvent(type="iteration"), event])
        )
    assert len(await events_of(client, session.session_id)) == 1


async def test_appends_that_race_have_no_hole_and_keep_their_own_order(client: Client, session: Session) -> None:
    answers = await asyncio.gather(*(append(client, session.session_id, n, n, n) for n in range(60)))
    events = await events_of(client, session.session_id)
    assert_gapless(events)
    assert len(events) == 181
    for n, answer in enumerate(answers):
        mine = events[answer.first_seq - 1 : answer.last_seq]
        assert [orjson.loads(event.payload_json)["n"] for event in mine] == [n] * 3


async def test_an_append_of_a_thousand_events_reaches_its_subscribers(client: Client, session: Session) -> None:
    async with reading(client, session_id=session.session_id) as stream:
        await stream.has(1)
        for _ in range(4):  # more than a subscriber's buffer, larger than a hint
            await append(client, session.session_id, *range(1000))
        await stream.has(4001)
        assert stream.seqs == list(range(1, 4002))


# streams


async def test_a_stream_replays_then_goes_on_live_and_ends_after_the_closing_event(
    client: Client, session: Session
) -> None:
    await append(client, session.session_id, 1, 2)
    async with reading(client, session_id=session.session_id) as stream:
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


async def test_a_stream_resumes_after_every_event_with_the_next_one(client: Client, session: Session) -> None:
    await append(client, session.session_id, *range(6))
    await stop(client)
    full = await whole(client, session_id=session.session_id)
    assert full.seqs == list(range(1, 9))
    for index, cursor in enumerate(full.cursors):
        rest = await whole(client, session_id=session.session_id, cursor=cursor)
        assert rest.seqs == full.seqs[index + 1 :]
        assert rest.ended


async def test_a_stream_that_is_resumed_after_its_end_says_that_it_has_ended(client: Client, session: Session) -> None:
    await stop(client)
    full = await whole(client, session_id=session.session_id)
    async with reading(client, session_id=session.session_id, cursor=full.cursor) as stream:
        assert (await metadata_of(stream.call))["callboard-stream"] == "ended"
        await stream.over()
    assert (stream.events, stream.ended, stream.cursor) == ([], True, full.cursor)


async def test_a_stream_from_now_begins_with_the_next_event(client: Client, session: Session) -> None:
    await append(client, session.session_id, 1)
    async with reading(client, session_id=session.session_id, start=events_pb2.STREAM_START_NOW) as stream:
        await metadata_of(stream.call)
        await append(client, session.session_id, 2)
        await stop(client)
        await stream.over()
    assert stream.seqs == [3, 4]


async def test_a_cursor_wins_over_the_start(client: Client, session: Session) -> None:
    await append(client, session.session_id, 1)
    await stop(client)
    full = await whole(client, session_id=session.session_id)
    rest = await whole(client, session_id=session.session_id, cursor=full.cursors[0], start=events_pb2.STREAM_START_NOW)
    assert rest.seqs == [2, 3]


async def test_a_filtered_stream_ends_after_a_closing_event_that_the_filter_leaves_out(
    client: Client, session: Session
) -> None:
    async with reading(client, session_id=session.session_id, types=["iteration"]) as stream:
        await metadata_of(stream.call)
        await append(client, session.session_id, 1)
        await stream.has(1)
        await stop(client)
        await stream.over()
    assert (stream.seqs, stream.ended) == ([2], True)
    again = await whole(client, session_id=session.session_id, types=["iteration"], cursor=stream.cursor)
    assert (again.events, again.ended) == ([], True)


async def test_cursors_that_do_not_fit_are_refused_before_anything_is_sent(
    suite: Suite, client: Client, session: Session
) -> None:
    await append(client, session.session_id, 1)
    await make_agent(client, "other")
    other = await start(client, "other")
    own = await whole_of(client, session.session_id, 2)
    for fields in (
        {"session_id": session.session_id, "cursor": "nonsense"},
        {"session_id": other.session_id, "cursor": own.cursors[0]},
        {"agent_id": "clock", "cursor": own.cursors[0]},
        {"session_id": session.session_id, "cursor": own.cursors[0] + "A"},
    ):
        with refused("CURSOR_INVALID"):
            await whole(client, **fields)
    await suite.rows("update session.log set incarnation = 2")
    with refused("CURSOR_EXPIRED") as caught:
        await whole(client, session_id=session.session_id, cursor=own.cursors[0])
    assert caught.value.code is grpc.StatusCode.OUT_OF_RANGE
    async with reading(client, session_id=session.session_id, cursor=caught.value.metadata["oldest_cursor"]) as stream:
        await stream.has(2)
        assert stream.seqs == [1, 2]


async def whole_of(client: Client, session_id: str, count: int) -> Reading:
    async with reading(client, session_id=session_id) as stream:
        await stream.has(count)
        return stream


async def test_a_stream_of_what_does_not_exist_is_refused(suite: Suite, client: Client, session: Session) -> None:
    with refused("SESSION_NOT_FOUND"):
        await whole(client, session_id="nothing")
    with refused("AGENT_NOT_FOUND"):
        await whole(client, agent_id="nobody")
    stranger = suite.client(suite.new_key(tenant="globex"))
    with refused("SESSION_NOT_FOUND"):
        await whole(stranger, session_id=session.session_id)
    with refused("AGENT_NOT_FOUND"):
        await whole(stranger, agent_id="clock")


async def test_an_agents_stream_goes_on_across_restarts_in_order_and_leaves_others_out(client: Client) -> None:
    neighbour = next(f"n{n}" for n in range(400) if partition_of(f"n{n}") == partition_of("clock"))
    await make_agent(client, neighbour)
    first = await start(client)
    async with reading(client, agent_id="clock") as live:
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
    async with reading(client, agent_id="clock", start=events_pb2.STREAM_START_BEGINNING) as full:
        await full.has(6)
    assert full.events[1:] == live.events
    for index, cursor in enumerate(full.cursors[:-1]):
        async with reading(client, agent_id="clock", cursor=cursor) as rest:
            await rest.has(5 - index)
            assert rest.events == full.events[index + 1 :]


async def test_a_subscriber_that_reconnects_at_random_has_every_event_once_and_in_order(
    client: Client, session: Session
) -> None:
    draw = random.Random(7)

    async def write() -> None:
        for n in range(150):
            await append(client, session.session_id, *range(draw.randint(1, 4)))
            if n % 10 == 0:
                await asyncio.sleep(0.01)
        await stop(client)

    writing = asyncio.create_task(write())
    seqs: list[int] = []
    cursor, connections, ended = "", 0, False
    while not ended:
        call = client.events.StreamEvents(StreamEventsRequest(session_id=session.session_id, cursor=cursor))
        connections += 1
        patience = draw.randint(1, 12)
        async for response in call:
            for streamed in response.batch.events:
                seqs.append(streamed.event.seq)
                cursor = streamed.cursor
                patience -= 1
                if not patience:
                    break
            ended = response.HasField("end")
            if patience <= 0:
                break
        call.cancel()
    await writing
    assert connections > 15
    assert seqs == list(range(1, len(seqs) + 1))
    assert len(seqs) == len(await events_of(client, session.session_id))


async def test_hints_that_are_lost_are_made_up_for_by_the_slow_check(suite: Suite, client: Client) -> None:
    session = await start(client)
    async with reading(client, session_id=session.session_id) as stream:
        await stream.has(1)
        # Behind the services' back: nobody says that there is something new.
        await behind(suite, session, 5)
        await stream.has(6)
        assert stream.seqs == list(range(1, 7))


async def test_hints_out_of_order_twice_and_made_up_deliver_each_event_once(
    suite: Suite, client: Client, session: Session
) -> None:
    bus = await Bus.connect(suite.nats_url, "test")
    hints, subject = Hints(bus), events_subject(TENANT, partition_of("clock"))
    try:
        async with reading(client, session_id=session.session_id) as stream:
            await stream.has(1)
            told = [await behind(suite, session, 2) for _ in range(30)]
            shuffled = told * 2
            random.Random(3).shuffle(shuffled)
            for first, last, lines in shuffled:
                hints.publish(subject, encode_hint(first, last, lines if first % 3 else None))
            hints.publish(subject, encode_hint(1, 3, None))
            await stream.has(61)
            await append(client, session.session_id, 1)
            await stream.has(62)
            assert stream.seqs == list(range(1, 63))
    finally:
        await bus.close()


async def behind(suite: Suite, session: Session, count: int) -> tuple[int, int, str]:
    """Appends in the database, and keeps the hint to itself."""
    (uid,) = (await suite.rows("select session_uid from session.heads where session_id = %s", session.session_id))[0]
    event = f'({uid},iteration,1,,"",key:k,"",{{}})'
    (answer,) = await suite.rows(
        "select * from session.append_events('acme', %s::smallint, %s::session.new_event[])",
        partition_of("clock"), [event] * count,
    )  # fmt: skip
    return answer[0], answer[1], answer[3]


async def test_a_slow_subscriber_falls_back_to_storage_and_loses_nothing_and_costs_nobody_else_anything(
    client: Client, session: Session
) -> None:
    slow: Any = client.events.StreamEvents(StreamEventsRequest(session_id=session.session_id))
    first = await slow.read()
    async with reading(client, session_id=session.session_id) as fast:
        for _ in range(12):
            events = [NewEvent(type="iteration", payload_json='{"x": "%s"}' % ("y" * 1000))] * 800
            await client.events.AppendEvents(AppendEventsRequest(session_id=session.session_id, events=events))
        await fast.has(9601)
    await stop(client)
    seqs = [streamed.event.seq for streamed in first.batch.events]
    while (response := await slow.read()) is not grpc.aio.EOF:
        seqs += [streamed.event.seq for streamed in response.batch.events]
    assert seqs == list(range(1, 9603))


async def test_a_replica_that_shuts_down_ends_its_streams_with_a_cursor_that_another_one_takes(
    suite: Suite, client: Client, session: Session
) -> None:
    replica: Process = suite.processes[0]
    await suite.session_app()
    other = suite.client(session=1)
    await append(client, session.session_id, 1)
    stream = Reading(client.events.StreamEvents(StreamEventsRequest(session_id=session.session_id)))
    await stream.has(2)
    await replica.stop()
    with refused("SHUTTING_DOWN") as caught:
        await stream.over()
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    await append(other, session.session_id, 2)
    async with reading(other, session_id=session.session_id, cursor=caught.value.metadata["cursor"]) as rest:
        await rest.has(1)
        assert rest.seqs == [3]


async def test_a_hundred_streams_of_one_session_all_get_the_same(client: Client, session: Session) -> None:
    streams = [
        Reading(client.events.StreamEvents(StreamEventsRequest(session_id=session.session_id))) for _ in range(100)
    ]
    for n in range(20):
        await append(client, session.session_id, n, n)
    await stop(client)
    await asyncio.gather(*(stream.over() for stream in streams))
    events = await events_of(client, session.session_id)
    assert all(stream.events == events for stream in streams)
