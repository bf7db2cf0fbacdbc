"""A client waits for a server that is slow to accept its connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from callboard.channel import channel_options
from tests.support.rpc import trial_server


@asynccontextmanager
async def _delayed(address: str, seconds: float) -> AsyncIterator[str]:
    """An address that forwards connections to another one after a delay."""
    host, _, port = address.rpartition(":")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        onward_reader, onward_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(_pump(reader, onward_writer), _pump(onward_reader, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.mark.parametrize("seconds", [0.0, 0.6])
async def test_client_waits_for_a_slow_handshake(seconds: float) -> None:
    async with (
        trial_server() as served,
        _delayed(served.server.address, seconds) as address,
        grpc.aio.insecure_channel(address, options=channel_options()) as channel,
    ):
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
