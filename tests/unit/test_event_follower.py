"""A followed stream goes from storage into the live tail and back without a gap, and rejects cursors of the future."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

import pytest

from libs.errors import Reason, ServiceError
from services.session.agents.service import Agents
from services.session.events import service
from services.session.events.hub import Hub
from services.session.events.model import Cursor, EventFilter
from services.session.events.service import Follower, Step
from tests.support.event_log import AGENT, SESSION, TENANT, EventLog

ALL = EventFilter()


class AnyAgent:
    """Agents that all exist."""

    async def get(self, tenant_id: str, agent_id: str) -> object:
        return object()


@pytest.fixture
def log() -> EventLog:
    return EventLog()


@pytest.fixture
def follower(log: EventLog) -> Follower:
    return Follower(log.store, cast(Agents, AnyAgent()), Hub(log.store, log))


async def positions(steps: AsyncGenerator[Step], count: int) -> list[int]:
    """Reads until there are `count` events, and returns their positions."""
    found: list[int] = []
    async with asyncio.timeout(5):
        while len(found) < count:
            step = await anext(steps)
            found += [event.position for event in step.batch.events] if step.batch else []
    return found


async def test_cursor_past_the_last_event_is_invalid(log: EventLog, follower: Follower) -> None:
    log.append(3)
    with pytest.raises(ServiceError) as of_session:
        await follower.of_session(TENANT, SESSION, Cursor(f"session/{SESSION}", 1, 4).text(), from_now=False)
    with pytest.raises(ServiceError) as of_agent:
        await follower.of_agent(TENANT, AGENT, Cursor(f"agent/{AGENT}", 1, 4).text(), from_start=False)
    assert [of_session.value.reason, of_agent.value.reason] == [Reason.CURSOR_INVALID] * 2


async def test_agent_stream_skips_pages_without_its_events(log: EventLog, follower: Follower) -> None:
    log.append(1200, agent_id="another agent")
    log.append(2)
    scope = await follower.of_agent(TENANT, AGENT, "", from_start=True)
    async with aclosing(follower.follow(scope, ALL)) as steps:
        assert await positions(steps, 2) == [1201, 1202]


async def test_silent_stream_sends_keepalives_with_its_cursor(
    log: EventLog, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "KEEPALIVE", 0.001)
    log.append(2)
    scope = await follower.of_session(TENANT, SESSION, "", from_now=False)
    async with aclosing(follower.follow(scope, ALL)) as steps:
        assert await positions(steps, 2) == [1, 2]
        for _ in range(2):
            assert await anext(steps) == Step(None, Cursor(f"session/{SESSION}", 1, 2))
        log.notify(log.append(1))
        assert await positions(steps, 1) == [3]


@pytest.mark.parametrize("is_late", [True, False], ids=["late notification", "lost notification"])
async def test_events_read_from_storage_are_not_delivered_again_by_the_tail(
    log: EventLog, follower: Follower, *, is_late: bool
) -> None:
    log.append(500)  # a full page, so that the reader looks for another one
    scope = await follower.of_session(TENANT, SESSION, "", from_now=False)
    async with aclosing(follower.follow(scope, ALL)) as steps:
        assert await positions(steps, 500) == list(range(1, 501))
        log.append(2)
        assert await positions(steps, 2) == [501, 502]
        if is_late:
            log.notify(log.events[500:])
        log.notify(log.append(1))  # without the late notification, the tail reads and delivers three events together
        assert await positions(steps, 1) == [503]


async def test_waiting_reader_that_a_burst_overruns_reads_it_from_storage(log: EventLog, follower: Follower) -> None:
    log.append(1)
    scope = await follower.of_session(TENANT, SESSION, "", from_now=False)
    async with aclosing(follower.follow(scope, ALL)) as steps:
        assert await positions(steps, 1) == [1]
        waiting = asyncio.create_task(positions(steps, 3000))
        await asyncio.sleep(0)  # one turn of the loop, in which the reader begins to wait
        log.notify(log.append(3000))
        assert await waiting == list(range(2, 3002))


async def test_closing_hub_gives_each_reader_the_cursor_to_resume_from(log: EventLog) -> None:
    log.append(2)
    hub = Hub(log.store, log)
    follower = Follower(log.store, cast(Agents, AnyAgent()), hub)
    scope = await follower.of_session(TENANT, SESSION, "", from_now=False)
    async with aclosing(follower.follow(scope, ALL)) as steps:
        assert await positions(steps, 2) == [1, 2]
        hub.close()
        with pytest.raises(ServiceError) as caught:
            await anext(steps)
    assert caught.value.reason is Reason.SHUTTING_DOWN
    assert caught.value.metadata == {"cursor": Cursor(f"session/{SESSION}", 1, 2).text()}
