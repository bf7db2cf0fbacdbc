"""How streams end: with their key, with the server, with their client."""

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
    """Read a stream to its end, which must be a refusal."""

    async def read_on() -> None:
        while await stream.read() is not grpc.aio.EOF:
            pass

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(read_on(), timeout)
    return service_error_from_rpc(caught.value)


@pytest.mark.parametrize("way", ["revoked", "expired", "deleted"])
async def test_a_stream_that_waits_ends_within_five_seconds_of_its_keys_end(served: TrialServer, way: str) -> None:
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


async def test_a_stream_in_full_flow_ends_too_and_others_go_on(served: TrialServer) -> None:
    key, other = served.keys.add("viewer"), served.key("viewer")
    flood = served.method("Follow", key.secret_text)(ask("flood"))
    idle = served.method("Follow", other)(ask("idle"))
    await flood.read()
    await idle.read()
    served.keys.revoke(key)
    assert (await ending(flood)).reason is Reason.CREDENTIALS_INVALID
    assert served.trial.open == 1
    assert not idle.done()


async def test_a_client_that_does_not_read_cannot_keep_a_revoked_stream_at_work(served: TrialServer) -> None:
    key = served.keys.add("viewer")
    stream = served.method("Follow", key.secret_text)(ask("flood"))
    await stream.read()
    served.keys.revoke(key)
    await eventually(lambda: served.trial.cleaned_up == 1)
    assert served.trial.open == 0


async def test_a_stream_of_requests_ends_with_its_key(served: TrialServer) -> None:
    key = served.keys.add("operator")
    stream = served.method("Talk", key.secret_text)()
    await stream.write(ask("a"))
    assert (await stream.read()).agent.agent_id == "a"
    served.keys.revoke(key)
    assert (await ending(stream)).reason is Reason.CREDENTIALS_INVALID


async def test_a_database_that_is_away_ends_no_stream(served: TrialServer) -> None:
    stream = served.method("Follow", served.key("viewer"))(ask("idle"))
    await stream.read()
    served.keys.is_down = True
    asked = served.keys.lookups
    await eventually(lambda: served.keys.lookups > asked)
    assert not stream.done()


async def test_a_client_that_goes_away_cleans_the_handler_up(served: TrialServer) -> None:
    stream = served.method("Follow", served.key("viewer"))(ask("idle"))
    await stream.read()
    stream.cancel()
    await eventually(lambda: served.trial.cleaned_up == 1)


async def test_a_handler_may_answer_with_bytes_it_serialized_itself(served: TrialServer) -> None:
    stream = served.method("Follow", served.key("viewer"))(ask("bytes"))
    assert [response.agent.agent_id async for response in stream] == ["first", "bytes"]


async def test_a_drain_lets_streams_end_themselves_with_a_cursor(served: TrialServer) -> None:
    stream = served.method("Follow", served.key("viewer"))(ask("polite"))
    await stream.read()
    began = time.monotonic()
    stopping = asyncio.create_task(served.server.stop(grace=8))
    error = await ending(stream)
    assert (error.reason, error.metadata) == (Reason.SHUTTING_DOWN, {"cursor": "c7"})
    await stopping
    assert time.monotonic() - began < 4


async def test_a_drain_ends_streams_that_do_not_end_themselves_with_a_reason(served: TrialServer) -> None:
    stream = served.method("Follow", served.key("viewer"))(ask("idle"))
    await stream.read()
    stopping = asyncio.create_task(served.server.stop(grace=0.5))
    assert (await ending(stream)).reason is Reason.SHUTTING_DOWN
    await stopping
    assert served.trial.cleaned_up == 1


async def test_a_drain_tells_those_who_watch_the_health_and_does_not_wait_for_them(served: TrialServer) -> None:
    async with open_channel(served.server.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=""))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        began = time.monotonic()
        stopping = asyncio.create_task(served.server.stop(grace=8))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert (await ending(watch)).reason is Reason.SHUTTING_DOWN
        await stopping
        assert time.monotonic() - began < 4


async def test_a_call_under_way_is_finished_before_the_server_ends(served: TrialServer) -> None:
    collect = served.method("Collect", served.key("operator"))()
    await collect.write(ask("a"))
    await eventually(lambda: served.trial.callers)
    stopping = asyncio.create_task(served.server.stop(grace=8))
    await eventually(served.trial.draining.is_set)
    await collect.write(ask("b"))
    await collect.done_writing()
    assert (await collect).agent.agent_id == "a-b"
    await stopping


async def test_a_taken_port_is_refused_by_its_name(served: TrialServer) -> None:
    async with TaskWatch() as tasks:
        second = RpcServer(
            "127.0.0.1", served.server.port, [], authenticator=served.server._serving.authenticator, tasks=tasks
        )
        with pytest.raises(ListenError, match=f"127.0.0.1:{served.server.port}"):
            await second.start()
