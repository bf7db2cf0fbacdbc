"""The gateway's connections to the services behind it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc

from libs.rpc import open_channel
from services.gateway.settings import GatewaySettings

_STREAMS_EACH = 500  # streams on a connection; a service allows 1,000


@dataclass(frozen=True, slots=True)
class Channels:
    """A connection to each service, and those that only carry streams of events."""

    session: grpc.aio.Channel
    command: grpc.aio.Channel
    streams: Sequence[grpc.aio.Channel]


@asynccontextmanager
async def open_channels(settings: GatewaySettings) -> AsyncIterator[Channels]:
    """Open the connections while the block lasts; nothing connects yet."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(open_channel(settings.session_address))
        command = await stack.enter_async_context(open_channel(settings.command_address))
        streams = [
            await stack.enter_async_context(open_channel(settings.session_address))
            for _ in range(-(-settings.most_streams // _STREAMS_EACH))
        ]
        yield Channels(session, command, streams)
