"""The public client against a real server: keys, errors, and following across broken streams."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from callboard.agents.v1 import agents_pb2, agents_pb2_grpc
from callboard.aio import CallboardError, Client
from callboard.events.v1 import events_pb2, events_pb2_grpc
from callboard.following import _Trying
from libs.errors import Reason, ServiceError
from libs.identity.authenticator import Authenticator
from libs.rpc import RpcServer, Service
from libs.telemetry import TaskWatch
from tests.support.eventually import eventually
from tests.support.rpc import KeyRing


class Agents(agents_pb2_grpc.AgentServiceServicer):
    """Knows no agent."""

    async def GetAgent(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise ServiceError(Reason.AGENT_NOT_FOUND, "there is no such agent", metadata={"agent_id": request.agent_id})

    async def CreateAgent(self, request: Any, context: Any) -> Any:  # noqa: N802
        return agents_pb2.CreateAgentResponse(agent=request.agent)

    ListAgents = UpdateAgent = DeleteAgent = CreateAgent


class Events(events_pb2_grpc.EventServiceServicer):
    """A session of so many events, whose stream breaks at random; a cursor is the number of the last event."""

    def __init__(self, total: int, seed: int) -> None:
        self.total = total
        self.random = random.Random(seed)
        self.opened = 0
        self.open = 0

    async def StreamEvents(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.opened += 1
        self.open += 1
        try:
            async for response in self._responses(int(request.cursor or "0")):
                yield response
        finally:
            self.open -= 1

    async def _responses(self, sent: int) -> AsyncIterator[events_pb2.StreamEventsResponse]:
        yield events_pb2.StreamEventsResponse(keepalive=events_pb2.Keepalive(), cursor=str(sent))
        while sent < self.total:
            batch = [_streamed(seq) for seq in range(sent + 1, min(sent + self.random.randint(1, 9), self.total) + 1)]
            sent = batch[-1].event.seq
            yield events_pb2.StreamEventsResponse(batch=events_pb2.EventBatch(events=batch), cursor=str(sent))
            if self.random.random() < 0.3:
                raise ServiceError(Reason.SHUTTING_DOWN, "resume elsewhere")
            if self.random.random() < 0.1:
                return
        yield events_pb2.StreamEventsResponse(end=events_pb2.StreamEnd(), cursor=str(sent))

    async def ListEvents(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise AssertionError("no test of the client asks for this")

    AppendEvents = ListEvents


def _streamed(seq: int) -> events_pb2.StreamedEvent:
    return events_pb2.StreamedEvent(event=events_pb2.Event(seq=seq, type="custom.trial"), cursor=str(seq))


@asynccontextmanager
async def served(events: Events, role: str = "admin") -> AsyncIterator[tuple[Client, RpcServer]]:
    keys = KeyRing()
    services = [
        Service("callboard.agents.v1.AgentService", agents_pb2_grpc.add_AgentServiceServicer_to_server, Agents()),
        Service("callboard.events.v1.EventService", events_pb2_grpc.add_EventServiceServicer_to_server, events),
    ]
    async with (
        TaskWatch() as tasks,
        RpcServer("127.0.0.1", 0, services, authenticator=Authenticator(keys.find), tasks=tasks) as server,
        Client(server.address, "127.0.0.1:1", keys.add(role).secret_text) as client,
    ):
        yield client, server


async def test_a_refusal_is_read_with_reason_and_metadata() -> None:
    async with served(Events(0, 0)) as (client, _):
        with pytest.raises(CallboardError) as caught:
            await client.agents.GetAgent(agents_pb2.GetAgentRequest(agent_id="nobody"))
        error = caught.value
        assert (error.reason, error.code) == ("AGENT_NOT_FOUND", grpc.StatusCode.NOT_FOUND)
        assert (error.message, error.metadata) == ("there is no such agent", {"agent_id": "nobody"})


async def test_violations_are_read_by_field() -> None:
    async with served(Events(0, 0)) as (client, _):
        agent = agents_pb2.Agent(agent_id="!", labels={"a b": "c"}, connector=agents_pb2.Connector(kind="echo"))
        with pytest.raises(CallboardError) as caught:
            await client.agents.CreateAgent(agents_pb2.CreateAgentRequest(agent=agent))
        assert caught.value.reason == "FIELD_INVALID"
        assert [found.field for found in caught.value.violations] == ["agent.agent_id", 'agent.labels["a b"]']


async def test_nobody_listening_is_an_error_without_a_reason() -> None:
    async with Client("127.0.0.1:1", "127.0.0.1:1", "k") as client:
        with pytest.raises(CallboardError) as caught:
            await client.agents.DeleteAgent(agents_pb2.DeleteAgentRequest(agent_id="a"))
        assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.UNAVAILABLE, "")


@pytest.mark.parametrize("seed", range(3))
async def test_every_event_comes_once_and_in_order_across_broken_streams(seed: int) -> None:
    events = Events(200, seed)
    async with served(events) as (client, _):
        seen = [streamed.event.seq async for streamed in client.follow_events(session_id="s")]
        assert seen == list(range(1, 201))
        assert events.opened > 1
        await eventually(lambda: events.open == 0)


async def test_following_begins_after_the_cursor() -> None:
    async with served(Events(20, 1)) as (client, _):
        seen = [streamed.event.seq async for streamed in client.follow_events(session_id="s", cursor="17")]
        assert seen == [18, 19, 20]


async def test_a_follower_that_leaves_ends_its_stream() -> None:
    events = Events(1_000_000, 2)
    async with served(events) as (client, _):
        following = client.follow_events(agent_id="a")
        async for streamed in following:
            if streamed.event.seq == 5:
                break
        await following.aclose()
        await eventually(lambda: events.open == 0)


async def test_what_does_not_pass_is_raised() -> None:
    async with served(Events(5, 0)) as (client, server):
        async with Client(server.address, "127.0.0.1:1", "wrong") as stranger:
            with pytest.raises(CallboardError) as caught:
                await anext(stranger.follow_events(session_id="s"))
        assert caught.value.reason == "CREDENTIALS_INVALID"
        with pytest.raises(CallboardError) as caught:
            await anext(client.follow_events())
        assert caught.value.reason == "FIELD_INVALID"


async def test_patience_is_counted_from_the_break_and_not_from_the_last_event() -> None:
    clock = _Trying(patience=0.2)
    clock.heard()
    assert not clock.is_over()  # however long ago it was heard: it has broken just now
    await eventually(clock.is_over, timeout=2)


async def test_patience_ends() -> None:
    async with Client("127.0.0.1:1", "127.0.0.1:1", "k") as client:
        with pytest.raises(CallboardError):
            await asyncio.wait_for(anext(client.follow_events(session_id="s", patience=0.3)), 5)


async def test_each_follower_has_all_events() -> None:
    async with served(Events(50, 7)) as (client, _):

        async def all_of_them() -> list[int]:
            return [streamed.event.seq async for streamed in client.follow_events(session_id="s")]

        seen = await asyncio.gather(*(all_of_them() for _ in range(5)))
        assert list(itertools.chain(*seen)) == list(range(1, 51)) * 5
