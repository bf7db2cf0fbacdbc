"""The public clients with an unreliable server: keys, errors, and following across broken streams."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
import pytest

from callboard import CallboardError, Client, SyncClient
from callboard.agents.v1 import agents_pb2, agents_pb2_grpc
from callboard.events.v1 import events_pb2, events_pb2_grpc
from libs.errors import Reason, ServiceError
from libs.identity.authenticator import Authenticator
from libs.rpc import RpcServer, Service
from libs.telemetry import TaskWatch
from tests.support.eventually import eventually
from tests.support.public_clients import KINDS, public_client
from tests.support.rpc import KeyRing


class Agents(agents_pb2_grpc.AgentServiceServicer):
    """Has no agents."""

    async def GetAgent(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise ServiceError(Reason.AGENT_NOT_FOUND, "there is no such agent", metadata={"agent_id": request.agent_id})

    async def CreateAgent(self, request: Any, context: Any) -> Any:  # noqa: N802
        return agents_pb2.CreateAgentResponse(agent=request.agent)

    ListAgents = UpdateAgent = DeleteAgent = CreateAgent


class Events(events_pb2_grpc.EventServiceServicer):
    """A session with `count` events, whose stream breaks at random. A cursor is the number of the last event."""

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


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def served(kind: str, events: Events, role: str = "admin") -> AsyncIterator[tuple[Client, RpcServer]]:
    keys = KeyRing()
    services = [
        Service("callboard.agents.v1.AgentService", agents_pb2_grpc.add_AgentServiceServicer_to_server, Agents()),
        Service("callboard.events.v1.EventService", events_pb2_grpc.add_EventServiceServicer_to_server, events),
    ]
    async with (
        TaskWatch() as tasks,
        RpcServer("127.0.0.1", 0, services, authenticator=Authenticator(keys.find), tasks=tasks) as server,
        public_client(kind, keys.add(role).secret_text, server.address) as client,
    ):
        yield client, server


async def test_error_carries_reason_and_metadata(kind: str) -> None:
    async with served(kind, Events(0, 0)) as (client, _):
        with pytest.raises(CallboardError) as caught:
            await client.agents.get("nobody")
        error = caught.value
        assert (error.reason, error.code) == ("AGENT_NOT_FOUND", grpc.StatusCode.NOT_FOUND)
        assert (error.message, error.metadata) == ("there is no such agent", {"agent_id": "nobody"})


async def test_error_names_each_field_and_its_rule(kind: str) -> None:
    async with served(kind, Events(0, 0)) as (client, _):
        with pytest.raises(CallboardError) as caught:
            await client.agents.create("!", connector={"kind": "echo"}, labels={"a b": "c"})
        assert caught.value.reason == "FIELD_INVALID"
        assert [found.field for found in caught.value.violations] == ["agent.agent_id", 'agent.labels["a b"]']
        assert all(found.rule for found in caught.value.violations)


async def test_unreachable_server_is_an_error_without_a_reason(kind: str) -> None:
    async with public_client(kind, "k", "127.0.0.1:1", timeout=0.3) as client:
        with pytest.raises(CallboardError) as caught:
            await client.agents.delete("a")
        assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.UNAVAILABLE, "")


@pytest.mark.parametrize("seed", range(3))
async def test_events_arrive_once_and_in_order_across_broken_streams(kind: str, seed: int) -> None:
    events = Events(200, seed)
    async with served(kind, events) as (client, _):
        seen = [event.seq async for event in client.follow(session_id="s")]
        assert seen == list(range(1, 201))
        assert events.opened > 1
        await eventually(lambda: events.open == 0)


async def test_follow_starts_after_the_cursor(kind: str) -> None:
    async with served(kind, Events(20, 1)) as (client, _):
        seen = [event.seq async for event in client.follow(session_id="s", cursor="17")]
        assert seen == [18, 19, 20]


async def test_leaving_a_follow_loop_ends_its_stream(kind: str) -> None:
    events = Events(1_000_000, 2)
    async with served(kind, events) as (client, _):
        async with aclosing(client.follow(agent_id="a")) as following:
            async for event in following:
                if event.seq == 5:
                    break
        await eventually(lambda: events.open == 0)


async def test_permanent_error_ends_a_follow_loop(kind: str) -> None:
    async with served(kind, Events(5, 0)) as (client, server):
        async with public_client(kind, "wrong", server.address) as stranger:
            with pytest.raises(CallboardError) as caught:
                await anext(stranger.follow(session_id="s"))
        assert caught.value.reason == "CREDENTIALS_INVALID"
        with pytest.raises(CallboardError) as caught:
            await anext(client.follow())
        assert caught.value.reason == "FIELD_INVALID"


async def test_follow_gives_up_when_its_patience_ends(kind: str) -> None:
    async with public_client(kind, "k", "127.0.0.1:1") as client:
        with pytest.raises(CallboardError):
            await asyncio.wait_for(anext(client.follow(session_id="s", patience=0.3)), 5)


async def test_each_of_several_followers_gets_all_events(kind: str) -> None:
    async with served(kind, Events(50, 7)) as (client, _):

        async def all_of_them() -> list[int]:
            return [event.seq async for event in client.follow(session_id="s")]

        seen = await asyncio.gather(*(all_of_them() for _ in range(5)))
        assert list(itertools.chain(*seen)) == list(range(1, 51)) * 5


async def test_close_ends_running_streams(kind: str) -> None:
    events = Events(1_000_000, 2)
    async with served(kind, events) as (client, _):
        following = client.follow(agent_id="a")
        await anext(following)
        await client.close()
        with pytest.raises(CallboardError) as caught:
            async for _event in following:
                pass
        assert caught.value.code is grpc.StatusCode.CANCELLED
        for call in (client.agents.get("a"), anext(client.follow(agent_id="a"))):
            with pytest.raises(CallboardError, match=r"^CANCELLED: the client is closed$"):
                await call


def test_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CALLBOARD_KEY", raising=False)
    with pytest.raises(ValueError, match=r"^api_key: .*CALLBOARD_KEY"):
        SyncClient()
    monkeypatch.setenv("CALLBOARD_KEY", "k\n")
    SyncClient().close()
    with pytest.raises(ValueError, match=r"^api_key: "):
        SyncClient("a\nb")


async def test_cancelled_caller_gets_a_cancellation_and_not_an_error() -> None:
    async with served("async", Events(0, 0)) as (client, _):
        following = asyncio.create_task(anext(client.follow(agent_id="a")))
        await asyncio.sleep(0)
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following
