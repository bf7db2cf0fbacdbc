"""A cursor before the oldest retained event is rejected, and the error carries the oldest cursor.

Callboard keeps all events. These tests drop weeks as an operator would: the table, and its rows of
`session.segments`. To pass a week, they move the log to the next week, which already has a table.
"""

from collections.abc import AsyncIterator

import grpc
import httpx2
import orjson
import pytest

from callboard.events.v1.events_pb2 import STREAM_START_BEGINNING
from callboard.sessions.v1.sessions_pb2 import Session
from libs.ids import partition_of
from libs.rpc.stubs import Stubs
from tests.support.apis import rest_client
from tests.support.client_calls import append, start, stop
from tests.support.eventually import eventually
from tests.support.outcomes import rejected
from tests.support.server_sent_events import frames_of
from tests.support.streamed_events import StreamReader, open_reader, read_to_end
from tests.support.suite import Suite

PARTITION = partition_of("clock")
OLD, NEW = 3, 2  # events of the session in the first week and in the second


async def pass_a_week(suite: Suite, *, quiet: int = -1) -> None:
    """Sends the next append to the next week. The quiet partition stays, as if it got no append."""
    await suite.rows("update session.log set bucket = bucket + 1 where partition <> %s", quiet)
    await suite.rows(
        "insert into session.segments (tenant_id, partition, bucket, first_position)"
        " select tenant_id, partition, bucket, position + 1 from session.log where partition <> %s",
        quiet,
    )


async def drop_weeks_before_this(suite: Suite) -> None:
    """Detaches concurrently, then drops: a drop that waits for a reader blocks appends (concurrency, rule 9)."""
    weeks = await suite.rows(
        "select distinct bucket from session.segments where bucket < (select max(bucket) from session.log)"
    )
    for (bucket,) in weeks:
        table = f"session.events_standard_{bucket}"
        await suite.rows(f"alter table session.events_standard detach partition {table} concurrently")
        await suite.rows(f"drop table {table}")
        await suite.rows("delete from session.segments where bucket = %s", bucket)


async def read(client: Stubs, count: int, **fields: str) -> StreamReader:
    """Reads `count` events of a stream, from its beginning or from the cursor in `fields`."""
    async with open_reader(client, start=STREAM_START_BEGINNING, **fields) as stream:
        await stream.has(count)
        return stream


@pytest.fixture
def command_replicas() -> int:
    return 1


@pytest.fixture
async def two_weeks(suite: Suite, client: Stubs, session: Session) -> Session:
    """A session whose events, `session.started` and some appended ones, lie in two weeks."""
    await append(client, session.session_id, *range(OLD - 1))
    await pass_a_week(suite)
    await append(client, session.session_id, *range(NEW))
    assert await suite.value("select count(distinct tableoid) from session.events") == 2
    return session


def scope(kind: str, session: Session) -> dict[str, str]:
    return {"agent_id": "clock"} if kind == "agent" else {"session_id": session.session_id}


KINDS = pytest.mark.parametrize("kind", ["agent", "session"])


@KINDS
async def test_expired_cursor_is_rejected_with_the_oldest_cursor_that_works(
    suite: Suite, client: Stubs, two_weeks: Session, kind: str
) -> None:
    fields = scope(kind, two_weeks)
    before = await read(client, OLD + NEW, **fields)
    await drop_weeks_before_this(suite)
    for cursor in before.cursors[: OLD - 1]:
        with rejected("CURSOR_EXPIRED") as caught:
            await read_to_end(client, cursor=cursor, **fields)
        assert caught.value.code is grpc.StatusCode.OUT_OF_RANGE
        assert caught.value.metadata["oldest_cursor"] == before.cursors[OLD - 1]
    rest = await read(client, NEW, cursor=before.cursors[OLD - 1], **fields)
    assert rest.events == before.events[OLD:]


@KINDS
async def test_cursor_with_no_missing_events_works_after_a_week_was_dropped(
    suite: Suite, client: Stubs, two_weeks: Session, kind: str
) -> None:
    fields = scope(kind, two_weeks)
    before = await read(client, OLD + NEW, **fields)
    await drop_weeks_before_this(suite)
    for number in range(OLD, OLD + NEW):
        async with open_reader(client, cursor=before.cursors[number - 1], **fields) as stream:
            await stream.has(OLD + NEW - number)
            assert stream.events == before.events[number:]


@KINDS
async def test_stream_from_the_beginning_starts_with_the_oldest_retained_event(
    suite: Suite, client: Stubs, two_weeks: Session, kind: str
) -> None:
    await drop_weeks_before_this(suite)
    stream = await read(client, NEW, **scope(kind, two_weeks))
    assert stream.seqs == list(range(OLD + 1, OLD + NEW + 1))


@KINDS
async def test_oldest_cursor_waits_for_new_events_when_none_are_retained(
    suite: Suite, client: Stubs, two_weeks: Session, kind: str
) -> None:
    fields = scope(kind, two_weeks)
    before = await read(client, OLD + NEW, **fields)
    await pass_a_week(suite)
    await drop_weeks_before_this(suite)
    with rejected("CURSOR_EXPIRED") as caught:
        await read_to_end(client, cursor=before.cursors[OLD], **fields)
    oldest = caught.value.metadata["oldest_cursor"]
    assert oldest == before.cursors[-1]
    async with open_reader(client, cursor=oldest, **fields) as stream:
        await append(client, two_weeks.session_id, "next")
        await stream.has(1)
        assert stream.seqs == [OLD + NEW + 1]


async def test_stream_of_an_ended_session_without_retained_events_ends(
    suite: Suite, client: Stubs, two_weeks: Session
) -> None:
    before = await read(client, OLD + NEW, session_id=two_weeks.session_id)
    await stop(client)
    await pass_a_week(suite)
    await start(client)  # so that the week has an event
    await drop_weeks_before_this(suite)
    with rejected("CURSOR_EXPIRED") as caught:
        await read_to_end(client, cursor=before.cursors[0], session_id=two_weeks.session_id)
    oldest = caught.value.metadata["oldest_cursor"]
    assert (await read_to_end(client, cursor=oldest, session_id=two_weeks.session_id)).ended


async def test_agent_can_be_followed_after_the_only_week_of_its_log_was_dropped(
    suite: Suite, client: Stubs, session: Session
) -> None:
    before = await read(client, 1, agent_id="clock")
    await pass_a_week(suite, quiet=PARTITION)
    await drop_weeks_before_this(suite)
    async with open_reader(client, agent_id="clock", start=STREAM_START_BEGINNING) as stream:
        await eventually(lambda: stream.cursor == before.cursors[-1])
        assert stream.events == []


@pytest.fixture
async def http(suite: Suite) -> AsyncIterator[httpx2.AsyncClient]:
    async with rest_client(suite) as made:
        yield made


@KINDS
async def test_rest_answers_410_with_a_cursor_from_which_an_event_source_resumes(
    suite: Suite, client: Stubs, two_weeks: Session, http: httpx2.AsyncClient, kind: str
) -> None:
    before = await read(client, OLD + NEW, **scope(kind, two_weeks))
    await drop_weeks_before_this(suite)
    place = "agents/clock" if kind == "agent" else f"agent-sessions/{two_weeks.session_id}"
    headers = {"Accept": "text/event-stream", "Last-Event-ID": before.cursors[0]}
    async with http.stream("GET", f"/api/v1/{place}/events", headers=headers) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (410, "application/problem+json")
        problem = orjson.loads(await answer.aread())
    assert (problem["reason"], problem["oldestCursor"]) == ("CURSOR_EXPIRED", before.cursors[OLD - 1])
    headers["Last-Event-ID"] = problem["oldestCursor"]
    seqs: list[int] = []
    async with http.stream("GET", f"/api/v1/{place}/events", headers=headers) as answer:
        async for frame in frames_of(answer):
            seqs.append(frame.data["seq"])
            if len(seqs) == NEW:
                break
    assert seqs == list(range(OLD + 1, OLD + NEW + 1))
