"""A bare grpc.aio server. Its methods, on bytes:

- Insert commits one row.
- Batch commits the row together with the rows of calls that arrived meanwhile.
- Publish does the same, and waits until the broker has stored a message for it.
- Stream writes the bytes that `Send` receives from then on.
- Send commits the row as Batch does, and passes the bytes to all streams.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import grpc
import psycopg
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from bench.floors.batcher import Batcher
from bench.floors.rows import insert_many, insert_one
from libs.bus import Bus, PubAck, Publisher, Streams, StreamSpec
from libs.bus.publisher import Message

STREAM = StreamSpec(name="BENCH", subjects=("bench.>",))
SERVICE = "bench.Floor"
_READY = b"ready"


class Floor:
    """The five methods of the server."""

    def __init__(self, connection: psycopg.AsyncConnection, publisher: Publisher) -> None:
        self._connection = connection
        self._publisher = publisher
        self._batches: Batcher[str] = Batcher(self._commit)
        self._published: Batcher[str] = Batcher(self._commit_and_publish)
        self._streams: set[asyncio.Queue[bytes]] = set()
        self._numbers = count()

    async def insert(self, request: bytes, _: Any) -> bytes:
        await insert_one(self._connection, request.decode("latin-1"))
        return request

    async def batch(self, request: bytes, _: Any) -> bytes:
        await self._batches.run(request.decode("latin-1"))
        return request

    async def publish(self, request: bytes, _: Any) -> bytes:
        await self._published.run(request.decode("latin-1"))
        return request

    async def stream(self, _request: bytes, _: Any) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._streams.add(queue)
        try:
            yield _READY
            while True:
                yield await queue.get()
        finally:
            self._streams.discard(queue)

    async def send(self, request: bytes, _: Any) -> bytes:
        await self._batches.run(request.decode("latin-1"))
        for queue in self._streams:
            queue.put_nowait(request)
        return b""

    async def _commit(self, bodies: list[str]) -> None:
        await insert_many(self._connection, [body.replace("\0", "") for body in bodies])

    async def _commit_and_publish(self, bodies: list[str]) -> None:
        await self._commit(bodies)
        messages = [Message("bench.rows", b"{}", f"{os.getpid()}:{next(self._numbers)}") for _ in bodies]
        for ack in await self._publisher.publish_many(messages):
            if not isinstance(ack, PubAck):
                raise ack


async def serve() -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    bus = await Bus.connect(os.environ["NATS_URL"], "bench-floor")
    await Streams(bus).ensure_stream(STREAM)
    async with await psycopg.AsyncConnection.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        floor = Floor(connection, Publisher(bus))
        server = grpc.aio.server()
        handlers: dict[str, Any] = {
            "Insert": grpc.unary_unary_rpc_method_handler(floor.insert),
            "Batch": grpc.unary_unary_rpc_method_handler(floor.batch),
            "Publish": grpc.unary_unary_rpc_method_handler(floor.publish),
            "Stream": grpc.unary_stream_rpc_method_handler(floor.stream),
            "Send": grpc.unary_unary_rpc_method_handler(floor.send),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        checks = health.aio.HealthServicer()
        await checks.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(checks, server)
        server.add_insecure_port(os.environ["BENCH_ADDRESS"])
        await server.start()
        await stop.wait()
        await server.stop(0.2)
    await bus.close()


if __name__ == "__main__":
    uvloop.run(serve())
