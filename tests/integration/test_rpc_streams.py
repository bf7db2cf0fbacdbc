"""How streams end: when their key, the server or their client ends."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from libs.errors import Reason, ServiceError
from libs.rpc import ListenError, RpcServer, open_channel, service_error_from_rpc
from libs.telemetry import TaskWatch
from tests.support.eventually import eventually
from tests.support.rpc import TrialServer, ask, trial_server


@pytest.fixture
async def served() -> AsyncIterator[TrialServer]:
    async with trial_server() as server:
        yield server


async def ending(stream: Any, timeout: float = 10) -> ServiceError:  # noqa: ASYNC109
    """Reads a stream to its end, which must be an error."""

    async def read_on() -> None:
        while await stream.read() is not grpc.aio.EOF:
            pass

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(read_on(), timeout)
    return service_error_from_rpc(caught.value)


@pytest.mark.parametrize("way", ["revoked", "expired", "deleted"])
async def test_idle_stream_ends_within_five_seconds_of_its_key(served: TrialServer, way: str) -> None:
    key = served.keys.add("viewer")
    stream = served.method("Follow", key.secret_text)(ask("idle"))
    await stream.read()
    record, began = served.keys.records[key.key_hash], time.monotonic()
    match way:
        case "revoked":
            served.keys.revoke(key)
        case "expired":
            served.keys.records[key.key_hash] = replace(record, expires_at=datetime.now(UTC) + timedelta(seconds=0.5))
        case "deleted":
            del served.keys.records[key.key_hash]
    assert (await ending(stream)).reason is Reason.CREDENTIALS_INVALID
    assert time.monotonic() - began < 5
    await eventually(lambda: served.trial.cleaned_up == 1)


async def test_busy_stream_ends_with_its_key_and_others_continue(served: TrialServer) -> None:
    key, other = served.keys.add("viewer"), served.key("viewer")
    flood = served.method("Follow", key.secret_text)(ask("flood"))
    idle = served.method("Follow", other)(ask("idle"))
    await flood.read()
    await idle.read()
    served.keys.revoke(key)
    assert (await ending(flood)).reason is Reason.CREDENTIALS_INVALID
    assert served.trial.open == 1
    assert not idle.done()


async def test_revoked_stream_ends_although_its_client_does_not_read(served: TrialServer) -> None:
    key = served.keys.add("viewer")
    stream = served.method("Follow", key.secret_text)(ask("flood"))
    await stream.read()
    served.keys.revoke(key)
    await eventually(lambda: served.trial.cleaned_up == 1)
    assert served.trial.open == 0


async def test_stream_of_requests_ends_with_its_key(served: TrialServer) -> None:
    key = served.keys.add("operator")
    stream = served.method("Talk", key.secret_text)()
    await stream.write(ask("a"))
    assert (await stream.read()).agent.agent_id == "a"
    served.keys.revoke(key)
    assert (await ending(stream)).reason is Reason.CREDENTIALS_INVALID


async def test_unreachable_database_ends_no_stream(served: TrialServer) -> None:
    stream = served.method("Follow", served.key("viewer"))(ask("idle"))
    await stream.read()
    served.keys.is_down = True
    asked = served.keys.lookups
    await eventually(lambda: served.keys.lookups > asked)
    assert not stream.done()


async def test_handler_is_cleaned_up_when_its_client_disconnects(served: TrialServer) -> None:
    stream = served.method("Follow", served.key("viewer"))(ask("idle"))
    await stream.read()
    stream.cancel()
    await eventually(lambda: served.trial.cleaned_up == 1)


async def test_handler_can_answer_with_serialized_bytes(served: TrialServer) -> None:
    stream = served.method("Follow", served.key("viewer"))(ask("bytes"))
    assert [response.agent.agent_id async for response in stream] == ["first", "bytes"]


async def test_drain_lets_streams_end_with_a_cursor(served: TrialServer) -> None:
    stream = served.method("Follow", served.key("viewer"))(ask("polite"))
    await stream.read()
    began = time.monotonic()
    stopping = asyncio.create_task(served.server.stop(grace=8))
    error = await ending(stream)
    assert (error.reason, error.metadata) == (Reason.SHUTTING_DOWN, {"cursor": "c7"})
    await stopping
    assert time.monotonic() - began < 4


async def test_drain_ends_other_streams_with_a_reason(served: TrialServer) -> None:
    stream = served.method("Follow", served.key("viewer"))(ask("idle"))
    await stream.read()
    stopping = asyncio.create_task(served.server.stop(grace=0.5))
    assert (await ending(stream)).reason is Reason.SHUTTING_DOWN
    await stopping
    assert served.trial.cleaned_up == 1


async def test_drain_notifies_health_watchers_and_does_not_wait_for_them(served: TrialServer) -> None:
    async with open_channel(served.server.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=""))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        began = time.monotonic()
        stopping = asyncio.create_task(served.server.stop(grace=8))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert (await ending(watch)).reason is Reason.SHUTTING_DOWN
        await stopping
        assert time.monotonic() - began < 4


async def test_running_call_is_finished_before_the_server_stops(served: TrialServer) -> None:
    collect = served.method("Collect", served.key("operator"))()
    await collect.write(ask("a"))
    await eventually(lambda: served.trial.callers)
    stopping = asyncio.create_task(served.server.stop(grace=8))
    await eventually(served.trial.draining.is_set)
    await collect.write(ask("b"))
    await collect.done_writing()
    assert (await collect).agent.agent_id == "a-b"
    await stopping


async def test_port_in_use_is_rejected_naming_the_port(served: TrialServer) -> None:
    async with TaskWatch() as tasks:
        second = RpcServer(
            "127.0.0.1", served.server.port, [], authenticator=served.server._serving.authenticator, tasks=tasks
        )
        with pytest.raises(ListenError, match=f"127.0.0.1:{served.server.port}"):
            await second.start()
