"""Subscribers that reconnect get each event once and in order, wherever they were disconnected."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from callboard.events.v1.events_pb2 import STREAM_START_BEGINNING
from callboard.sessions.v1.sessions_pb2 import RestartSessionRequest
from libs.rpc.stubs import Stubs
from tests.e2e.steps import append, connected_session, stop, until_event
from tests.support.processes import Suite
from tests.support.server_sent_events import Frame, frames_of
from tests.support.stored_events import events_of
from tests.support.streamed_events import Collector

pytestmark = pytest.mark.asyncio(loop_scope="package")
CONNECTIONS = 100


@pytest.fixture
def rng() -> random.Random:
    """A random generator. A failed test shows its seed."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    return random.Random(seed)


@asynccontextmanager
async def _appending(client: Stubs, session_id: str, rng: random.Random, total: int) -> AsyncIterator[None]:
    """Appends `total` events in batches during the block, at least as fast as they are read."""

    async def work() -> None:
        left = total
        while left:
            portion = min(left, rng.randint(1, 8))
            await append(client, session_id, portion)
            left -= portion

    task = asyncio.create_task(work())
    try:
        yield
        await task
    finally:
        task.cancel()


async def test_subscriber_of_a_session_can_reconnect_a_hundred_times(suite: Suite, rng: random.Random) -> None:
    """Disconnected 100 times at random, also within a batch, resumed at another replica: each event once, in order."""
    clients = [suite.client(session=0), suite.client(session=1)]
    session = await connected_session(clients[0], "followed")
    collector = Collector()
    async with _appending(clients[0], session.session_id, rng, 4 * CONNECTIONS):
        for _ in range(CONNECTIONS):
            await collector.receive(rng.choice(clients), rng.randint(0, 4), session_id=session.session_id)
    await stop(clients[0], "followed")
    await collector.receive(clients[1], session_id=session.session_id)
    assert collector.ended
    assert collector.connections == CONNECTIONS + 1
    assert collector.seqs == list(range(1, 4 * CONNECTIONS + 4))
    assert collector.events == await events_of(clients[0], session.session_id)
    before = len(collector.events)
    await collector.receive(clients[0], session_id=session.session_id)
    assert (len(collector.events), collector.ended) == (before, True)


async def test_subscriber_of_an_agent_can_reconnect_across_a_restart(suite: Suite, rng: random.Random) -> None:
    """An agent's stream, disconnected 100 times while its session restarts, has the events of both sessions once."""
    clients = [suite.client(session=0), suite.client(session=1)]
    first = await connected_session(clients[0], "lasting")
    collector = Collector()

    async def receive(times: int) -> None:
        for _ in range(times):
            await collector.receive(
                rng.choice(clients), rng.randint(0, 3), agent_id="lasting", start=STREAM_START_BEGINNING
            )  # fmt: skip

    async with _appending(clients[0], first.session_id, rng, 2 * CONNECTIONS):
        await receive(CONNECTIONS // 2)
    restarted = await clients[0].sessions.RestartSession(RestartSessionRequest(agent_id="lasting"))
    second = restarted.session
    await until_event(clients[0], second.session_id, "agent.connected")
    async with _appending(clients[1], second.session_id, rng, 2 * CONNECTIONS):
        await receive(CONNECTIONS // 2)
    expected = [event for one in (first, second) for event in await events_of(clients[0], one.session_id)]
    await collector.receive(
        clients[0], len(expected) - len(collector.events), agent_id="lasting", start=STREAM_START_BEGINNING
    )  # fmt: skip
    assert [event.event_id for event in collector.events] == [event.event_id for event in expected]


async def _take(http: httpx2.AsyncClient, path: str, last: str, most: int) -> list[Frame]:
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
    frames: list[Frame] = []
    async with http.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        if most:
            async for frame in frames_of(answer):
                frames.append(frame)
                if len(frames) == most:
                    break
    return frames


async def test_event_source_can_reconnect_a_hundred_times(suite: Suite, rng: random.Random) -> None:
    """Over SSE with Last-Event-ID: each event once, in order. After the closing one, the answer is 204."""
    client, http = suite.client(), suite.http()
    session = await connected_session(client, "watched")
    path = f"/api/v1/agent-sessions/{session.session_id}/events"
    frames: list[Frame] = []
    async with _appending(client, session.session_id, rng, 4 * CONNECTIONS):
        for _ in range(CONNECTIONS):
            frames += await _take(http, path, frames[-1].id if frames else "", rng.randint(0, 4))
    await stop(client, "watched")
    frames += await _take(http, path, frames[-1].id, -1)
    assert [frame.data["seq"] for frame in frames] == list(range(1, 4 * CONNECTIONS + 4))
    assert frames[-1].event == "session.stopped"
    assert [frame.event for frame in frames] == [frame.data["type"] for frame in frames]
    done = await http.get(path, headers={"Accept": "text/event-stream", "Last-Event-ID": frames[-1].id})
    assert done.status_code == 204
