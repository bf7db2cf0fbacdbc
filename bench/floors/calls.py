"""Calls to the bare server."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc

from bench.floors.server import SERVICE
from bench.rig import Rig

BODY = b'{"tenant":"default","type":"echo","params":{"a":1},"correlation":"0123456789abcdef"}'
Unary = Callable[[bytes], Awaitable[bytes]]


@asynccontextmanager
async def floor_channel(rig: Rig) -> AsyncIterator[grpc.aio.Channel]:
    """Start a bare server and connect to it."""
    async with grpc.aio.insecure_channel(await rig.floor_server()) as channel:
        yield channel


def unary(channel: grpc.aio.Channel, method: str) -> Unary:
    """Return one of its unary methods."""
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/{method}")
    return call
