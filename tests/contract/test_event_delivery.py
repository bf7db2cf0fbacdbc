"""The work stream delivers each event once and in order, under load and after losses (E3)."""

import asyncio
import random
from typing import Any

import grpc
import pytest

from callboard.events.v1.events_pb2 import AppendEventsRequest, NewEvent, StreamEventsRequest
from callboard.sessions.v1.sessions_pb2 import Session
from libs.bus import Bus, Notifications
from libs.ids import partition_of
from libs.notifications import encode_notification, events_subject
from libs.rpc.stubs import Stubs
from tests.support.client_calls import append, start, stop
from tests.support.outcomes import rejected
from tests.support.stored_events import events_of
from tests.support.streamed_events import StreamReader, open_reader
from tests.support.suite import TENANT, Process, Suite


@pytest.fixture
def command_replicas() -> int:
    return 0


async def append_without_notification(suite: Suite, session: Session, count: int) -> tuple[int, int, str]:
    """Appends in the database without a notification."""
    (uid,) = (await suite.rows("select session_uid from session.heads where session_id = %s", session.session_id))[0]
    event = f'({uid},iteration,1,,"",key:k,"",{{}})'
    (answer,) = await suite.rows(
        "select * from session.append_events('acme', %s::smallint, %s::session.new_event[])",
        partition_of("clock"), [event] * count,
    )  # fmt: skip
    return answer[0], answer[1], answer[3]


async def test_appends_of_a_thousand_events_reach_a_subscriber(client: Stubs, session: Session) -> None:
    async with open_reader(client, session_id=session.session_id) as stream:
        await stream.has(1)
        for _ in range(4):  # more than a subscriber's buffer, larger than a notification
            await append(client, session.session_id, *range(1000))
        await stream.has(4001)
        assert stream.seqs == list(range(1, 4002))


async def test_subscriber_that_reconnects_at_random_gets_each_event_once_in_order(
    client: Stubs, session: Session
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


async def test_events_are_delivered_when_their_notifications_are_lost(suite: Suite, client: Stubs) -> None:
    session = await start(client)
    async with open_reader(client, session_id=session.session_id) as stream:
        await stream.has(1)
        # Directly in the database, so that no notification is published.
        await append_without_notification(suite, session, 5)
        await stream.has(6)
        assert stream.seqs == list(range(1, 7))


async def test_repeated_shuffled_and_false_notifications_deliver_each_event_once(
    suite: Suite, client: Stubs, session: Session
) -> None:
    bus = await Bus.connect(suite.nats_url, "test")
    notifications, subject = Notifications(bus), events_subject(TENANT, partition_of("clock"))
    try:
        async with open_reader(client, session_id=session.session_id) as stream:
            await stream.has(1)
            appended = [await append_without_notification(suite, session, 2) for _ in range(30)]
            shuffled = appended * 2
            random.Random(3).shuffle(shuffled)
            for first, last, lines in shuffled:
                notifications.publish(subject, encode_notification(first, last, lines if first % 3 else None))
            notifications.publish(subject, encode_notification(1, 3, None))
            await stream.has(61)
            await append(client, session.session_id, 1)
            await stream.has(62)
            assert stream.seqs == list(range(1, 63))
    finally:
        await bus.close()


async def test_slow_subscriber_loses_nothing_and_does_not_slow_down_others(client: Stubs, session: Session) -> None:
    slow: Any = client.events.StreamEvents(StreamEventsRequest(session_id=session.session_id))
    first = await slow.read()
    async with open_reader(client, session_id=session.session_id) as fast:
        for _ in range(12):
            events = [NewEvent(type="iteration", payload_json='{"x": "%s"}' % ("y" * 1000))] * 800
            await client.events.AppendEvents(AppendEventsRequest(session_id=session.session_id, events=events))
        await fast.has(9601)
    await stop(client)
    seqs = [streamed.event.seq for streamed in first.batch.events]
    while (response := await slow.read()) is not grpc.aio.EOF:
        seqs += [streamed.event.seq for streamed in response.batch.events]
    assert seqs == list(range(1, 9603))


async def test_stream_ended_by_a_shutdown_resumes_on_another_replica(
    suite: Suite, client: Stubs, session: Session
) -> None:
    replica: Process = suite.processes[0]
    await suite.session_app()
    other = suite.client(session=1)
    await append(client, session.session_id, 1)
    stream = StreamReader(client.events.StreamEvents(StreamEventsRequest(session_id=session.session_id)))
    await stream.has(2)
    await replica.stop()
    with rejected("SHUTTING_DOWN") as caught:
        await stream.over()
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    await append(other, session.session_id, 2)
    async with open_reader(other, session_id=session.session_id, cursor=caught.value.metadata["cursor"]) as rest:
        await rest.has(1)
        assert rest.seqs == [3]


async def test_hundred_streams_of_one_session_get_the_same_events(client: Stubs, session: Session) -> None:
    streams = [
        StreamReader(client.events.StreamEvents(StreamEventsRequest(session_id=session.session_id))) for _ in range(100)
    ]
    for n in range(20):
        await append(client, session.session_id, n, n)
    await stop(client)
    await asyncio.gather(*(stream.over() for stream in streams))
    events = await events_of(client, session.session_id)
    assert all(stream.events == events for stream in streams)
