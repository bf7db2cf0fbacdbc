"""A gateway is killed during streams. Its subscribers resume at another and miss nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import httpx2
import pytest
import pytest_asyncio

from callboard.events.v1.events_pb2 import Event
from callboard.sessions.v1.sessions_pb2 import RestartSessionRequest
from libs.embedded.ports import free_port
from libs.rpc.stubs import Stubs
from services.cli.checks import http_ok
from services.cli.defaults import LOOPBACK
from tests.e2e.steps import append, connected_session, stop, until_event
from tests.support.eventually import eventually
from tests.support.processes import Suite, gateway_client
from tests.support.server_sent_events import Frame, frames_of
from tests.support.stored_events import events_of
from tests.support.suite_process import SuiteProcess

pytestmark = pytest.mark.asyncio(loop_scope="package")
DEATHS = 5
EACH = 20  # least number of events between two kills


class EventSource:
    """A subscriber like a browser's EventSource: it reconnects with the id of its last event."""

    def __init__(self, suite: Suite, path: str) -> None:
        self.frames: list[Frame] = []
        self._suite = suite
        self._path = path

    @asynccontextmanager
    async def at(self, gateway: SuiteProcess) -> AsyncIterator["asyncio.Task[None]"]:
        """Follows at this gateway while the block runs. The yielded task ends when the stream does."""
        task = asyncio.create_task(self._follow(gateway))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def has(self, more: int, task: "asyncio.Task[None]") -> None:
        """Waits until `count` more events have come, while the stream is open."""
        wanted = len(self.frames) + more

        def are_there() -> bool:
            assert not task.done(), task
            return len(self.frames) >= wanted

        await eventually(are_there, 20)

    async def _follow(self, gateway: SuiteProcess) -> None:
        last = {"Last-Event-ID": self.frames[-1].id} if self.frames else {}
        async with gateway_client(f"http://{gateway.address}", self._suite.key) as http:
            headers = {"Accept": "text/event-stream", **last}
            async with http.stream("GET", self._path, headers=headers, timeout=60) as answer:
                assert answer.status_code == 200, await answer.aread()
                async for frame in frames_of(answer):
                    self.frames.append(frame)


@asynccontextmanager
async def _appending(client: Stubs, session_id: str) -> AsyncIterator[None]:
    """Appends to the session while the block runs, not through the gateway."""
    is_over = asyncio.Event()

    async def work() -> None:
        while not is_over.is_set():
            await append(client, session_id, 3)

    task = asyncio.create_task(work())
    try:
        yield
        is_over.set()
        await task
    finally:
        task.cancel()


@pytest_asyncio.fixture(loop_scope="package")
async def second_gateway(suite: Suite) -> AsyncIterator[SuiteProcess]:
    """A second gateway beside the suite's own."""
    first = suite.gateway
    port = free_port(LOOPBACK)
    address = f"{LOOPBACK}:{port}"
    environment = {**first._spec.environment, "CALLBOARD_HTTP_PORT": str(port)}
    spec = replace(first._spec, name="gateway-2", environment=environment, ready=partial(http_ok, address, "/readyz"))
    part = SuiteProcess(spec, first.log.parent, address)
    await part.start()
    yield part
    await part.clear()


def _told(frames: list[Frame]) -> list[tuple[str, str]]:
    return [(frame.data["eventId"], frame.event) for frame in frames]


def _stored(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.event_id, event.type) for event in events]


async def test_subscriber_of_a_session_survives_kills_of_its_gateway(suite: Suite) -> None:
    """The gateway is killed five times while events arrive. Each event comes once, in order, up to the closing one."""
    client = suite.client()
    session = await connected_session(client, "interrupted")
    path = f"/api/v1/agent-sessions/{session.session_id}/events"
    source = EventSource(suite, path)
    async with _appending(client, session.session_id):
        for _ in range(DEATHS):
            async with source.at(suite.gateway) as following:
                await source.has(EACH, following)
                await suite.gateway.kill()
                with pytest.raises(httpx2.TransportError):
                    await following
            await suite.gateway.start()
    async with source.at(suite.gateway) as following:
        await stop(client, "interrupted")
        await asyncio.wait_for(following, 20)
    events = await events_of(client, session.session_id)
    assert [frame.data["seq"] for frame in source.frames] == list(range(1, len(events) + 1))
    assert _told(source.frames) == _stored(events)
    assert source.frames[-1].event == "session.stopped"
    again = {"Accept": "text/event-stream", "Last-Event-ID": source.frames[-1].id}
    assert (await suite.http().get(path, headers=again)).status_code == 204


async def test_subscriber_of_an_agent_continues_at_another_gateway(suite: Suite, second_gateway: SuiteProcess) -> None:
    """The subscriber moves from a killed gateway to the other and back, across a restart of the agent's session."""
    client = suite.client()
    first = await connected_session(client, "moving")
    source = EventSource(suite, "/api/v1/agents/moving/events?from=start")
    session, sessions = first, [first]
    gateway, other = suite.gateway, second_gateway
    for _ in range(DEATHS):
        async with _appending(client, session.session_id), source.at(gateway) as following:
            await source.has(EACH, following)
            await gateway.kill()
            with pytest.raises(httpx2.TransportError):
                await following
        session = (await client.sessions.RestartSession(RestartSessionRequest(agent_id="moving"))).session
        sessions.append(session)
        await until_event(client, session.session_id, "agent.connected")
        await gateway.start()
        gateway, other = other, gateway
    expected = [event for one in sessions for event in await events_of(client, one.session_id)]
    async with source.at(gateway) as following:
        await source.has(len(expected) - len(source.frames), following)
    assert _told(source.frames) == _stored(expected)
