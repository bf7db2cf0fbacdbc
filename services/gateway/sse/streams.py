"""Relays a stream of events to a client as Server-Sent Events."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import grpc
import structlog
from prometheus_client import Gauge
from starlette.types import Receive, Send

from callboard.events.v1 import events_pb2
from libs.errors import Reason, ServiceError
from libs.rpc import service_error_from_rpc
from services.gateway.http.bodies import ClientGoneError
from services.gateway.sse.frames import COMMENT_KEEPALIVE, bookmark, comment, frames

_log = structlog.get_logger(__name__)
STATE_KEY = "callboard-stream"
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # proxies that support it forward events at once
]


class OpenStreams:
    """The open streams: limits their number, and ends them when the gateway stops."""

    def __init__(self, most: int, gauge: Gauge) -> None:
        self._most = most
        self._gauge = gauge
        self._relays: set[asyncio.Task[None]] = set()
        self._is_draining = False

    def admit(self) -> None:
        """Raise ServiceError when too many streams are open or the gateway is stopping."""
        if self._is_draining:
            raise ServiceError(Reason.SHUTTING_DOWN, "the gateway is shutting down; try another gateway")
        if len(self._relays) >= self._most:
            raise ServiceError(Reason.RATE_LIMITED, "too many streams are open; try again later")

    def drain(self) -> None:
        """End all streams at once. Their clients resume elsewhere, after the last id that they received."""
        self._is_draining = True
        for relay in self._relays:
            relay.cancel()

    @contextlib.contextmanager
    def holding(self, relay: asyncio.Task[None]) -> Iterator[None]:
        """Count a stream as open while the block runs."""
        self._relays.add(relay)
        self._gauge.inc()
        if self._is_draining:
            relay.cancel()
        try:
            yield
        finally:
            self._relays.discard(relay)
            self._gauge.dec()


class EventStream:
    """One stream. Durations are in seconds."""

    def __init__(self, call: Any, send: Send, *, keepalive: float, write_deadline: float) -> None:
        self._call = call
        self._send = send
        self._keepalive = keepalive
        self._write_deadline = write_deadline
        self._cursor = ""

    async def run(self, receive: Receive, streams: OpenStreams) -> None:
        """Relay events until the stream ends, the client disconnects or stops reading, or the gateway stops."""
        await self._send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
        relay = asyncio.create_task(self._relay(), name="relay")
        watch = asyncio.create_task(self._watch(receive), name="watch")
        try:
            with streams.holding(relay):
                await asyncio.wait({relay, watch}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (relay, watch):
                task.cancel()
            await asyncio.wait({relay, watch})
        for task in (relay, watch):
            if not task.cancelled():
                task.result()
        await self._write(b"", is_last=True)

    async def _relay(self) -> None:
        try:
            while (response := await self._call.read()) is not grpc.aio.EOF:
                match response.WhichOneof("payload"):
                    case "batch":
                        await self._write(frames(response.batch))
                    case "keepalive":
                        await self._write(self._keepalive_frame(response))
                    case "end":
                        return
                self._cursor = response.cursor
        except grpc.aio.AioRpcError as error:
            # The response has begun, so the error cannot be sent as a problem. Clients resume and get the error then.
            reason = service_error_from_rpc(error).reason
            _log.info("stream_broken", reason=reason)
            await self._write(comment(reason))

    def _keepalive_frame(self, response: events_pb2.StreamEventsResponse) -> bytes:
        moved = response.cursor and response.cursor != self._cursor
        return bookmark(response.cursor) if moved else COMMENT_KEEPALIVE

    async def _watch(self, receive: Receive) -> None:
        """Write keepalives until the client disconnects."""
        while True:
            try:
                async with asyncio.timeout(self._keepalive):
                    while (await receive())["type"] != "http.disconnect":
                        pass
            except TimeoutError:
                await self._write(COMMENT_KEEPALIVE)
            else:
                raise ClientGoneError

    async def _write(self, data: bytes, *, is_last: bool = False) -> None:
        try:
            async with asyncio.timeout(self._write_deadline):
                await self._send({"type": "http.response.body", "body": data, "more_body": not is_last})
        except TimeoutError:
            raise ClientGoneError from None
