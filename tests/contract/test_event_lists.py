"""Appending events and listing them in pages: no gaps, and only what callers may append (E1, E5)."""

import asyncio

import orjson
import pytest

from callboard.events.v1 import events_pb2
from callboard.events.v1.events_pb2 import AppendEventsRequest, Event, ListEventsRequest, NewEvent
from callboard.sessions.v1.sessions_pb2 import Session
from libs.rpc.stubs import Stubs
from tests.support.client_calls import append, make_agent, start, stop
from tests.support.outcomes import rejected
from tests.support.stored_events import assert_gapless, events_of, types_of
from tests.support.streamed_events import read_to_end


@pytest.fixture
def command_replicas() -> int:
    return 0


async def test_pages_of_events_have_no_gaps_and_no_repeats(client: Stubs, session: Session) -> None:
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


async def test_page_that_ends_with_the_last_event_has_no_next_token(client: Stubs, session: Session) -> None:
    await append(client, session.session_id, *range(4))
    page = await client.events.ListEvents(ListEventsRequest(session_id=session.session_id, page_size=5))
    assert (len(page.events), page.next_page_token) == (5, "")


async def test_lists_and_streams_filter_by_type_family_and_level(client: Stubs, session: Session) -> None:
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
        streamed = await read_to_end(client, session_id=session.session_id, types=wanted, levels=levels)
        assert types_of(streamed.events) == expected
        assert streamed.ended


async def test_page_token_of_another_list_is_rejected(client: Stubs, session: Session) -> None:
    await append(client, session.session_id, *range(9))
    page = await client.events.ListEvents(ListEventsRequest(session_id=session.session_id, page_size=2))
    await make_agent(client, "other")
    other = await start(client, "other")
    for fields in (
        {"session_id": other.session_id, "page_token": page.next_page_token},
        {"session_id": session.session_id, "page_token": page.next_page_token, "types": ["iteration"]},
        {"session_id": session.session_id, "page_token": "nonsense"},
    ):
        with rejected("PAGE_TOKEN_INVALID"):
            await client.events.ListEvents(ListEventsRequest(**fields))


async def test_appended_events_are_numbered_and_name_their_actor(client: Stubs, session: Session) -> None:
    answer = await append(client, session.session_id, 1, 2, 3)
    assert (answer.first_seq, answer.last_seq) == (2, 4)
    event = (await events_of(client, session.session_id))[1]
    assert (event.type, event.level, event.actor) == ("iteration", events_pb2.EVENT_LEVEL_INFO, session.created_by)
    assert (event.session_id, event.agent_id) == (session.session_id, "clock")


async def test_repeated_append_with_a_key_is_stored_once(client: Stubs, session: Session) -> None:
    first = await append(client, session.session_id, 1, 2, request_id="k")
    assert await append(client, session.session_id, 1, 2, request_id="k") == first
    with rejected("IDEMPOTENCY_KEY_REUSED"):
        await append(client, session.session_id, 1, 3, request_id="k")
    await stop(client)
    assert await append(client, session.session_id, 1, 2, request_id="k") == first
    assert len(await events_of(client, session.session_id)) == 4


async def test_append_to_an_ended_session_is_rejected(client: Stubs, session: Session) -> None:
    await stop(client)
    with rejected("SESSION_NOT_ACTIVE") as caught:
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
async def test_event_that_callers_may_not_append_rejects_its_whole_batch(
    client: Stubs, session: Session, event: NewEvent
) -> None:
    with rejected("FIELD_INVALID"):
        await client.events.AppendEvents(
            AppendEventsRequest(session_id=session.session_id, events=[NewEvent(type="iteration"), event])
        )
    assert len(await events_of(client, session.session_id)) == 1


async def test_concurrent_appends_leave_no_gaps_and_keep_their_order(client: Stubs, session: Session) -> None:
    answers = await asyncio.gather(*(append(client, session.session_id, n, n, n) for n in range(60)))
    events = await events_of(client, session.session_id)
    assert_gapless(events)
    assert len(events) == 181
    for n, answer in enumerate(answers):
        mine = events[answer.first_seq - 1 : answer.last_seq]
        assert [orjson.loads(event.payload_json)["n"] for event in mine] == [n] * 3
