"""An idle client that sends pings keeps its connection."""

import asyncio

import grpc
import pytest

from libs.rpc import limits
from tests.support.rpc import trial_server

PING_MS = 500
PINGED_SECONDS = 4.0  # eight pings; a server that permits none disconnects the client at the third


async def test_idle_client_with_the_shortest_ping_interval_stays_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PERMITTED_PING_SECONDS", PING_MS / 1000 / 2)
    options = [
        ("grpc.keepalive_time_ms", PING_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    async with (
        trial_server(limits.ServerLimits()) as server,
        grpc.aio.insecure_channel(server.server.address, options=options) as channel,
    ):
        await channel.channel_ready()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(channel.wait_for_state_change(grpc.ChannelConnectivity.READY), PINGED_SECONDS)
