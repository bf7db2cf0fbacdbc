"""The fan-out of one session's events to 100 and to 1,000 streams.

Rate: deliveries per second, from the first call until the last stream has the last event. Each call appends one event,
4 calls in flight, so that the streams are the bottleneck. Latency: from before the append call to the event's arrival
at each of 100 streams, p50 over all deliveries, with an event every 50 ms. Ours: `AppendEvents` and `StreamEvents`.
Floor: a bare grpc.aio server whose only call commits a row (in a group) and writes the same bytes, serialized once by
the caller, to as many streams. Another process reads the streams, 50 in a channel.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from bench.clients.fleet import Fleet, subscribed
from bench.clients.subscribers import EVENT_TYPE
from bench.figure import Comparison, Sides
from bench.floors.calls import unary
from bench.load import running_load
from bench.rig import Rig
from bench.stats import Aim
from bench.timing import burst
from callboard.events.v1.events_pb2 import (
    EVENT_LEVEL_INFO,
    AppendEventsRequest,
    Event,
    EventBatch,
    NewEvent,
    StreamedEvent,
    StreamEventsResponse,
)

IN_FLIGHT = 4
_PAUSE = 0.05

Send = Callable[[int], Awaitable[object]]


def _payload() -> str:
    return f'{{"t":{time.time()!r}}}'


def _floor_message() -> bytes:
    """Return the message that the session service writes for one event."""
    event = Event(
        event_id="01936b5c-0000-7000-8000-000000000000", seq=1000, type=EVENT_TYPE, level=EVENT_LEVEL_INFO,
        session_id="ses-0123456789abcdef0123456789abcdef", agent_id="bench-1", actor="key:0123456789ab",
        payload_json=_payload(),
    )  # fmt: skip
    event.created_at.GetCurrentTime()
    cursor = "c2Vzc2lvbi9zZXMtMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYvMQ"
    batch = EventBatch(events=[StreamedEvent(event=event, cursor=cursor)])
    return StreamEventsResponse(batch=batch, cursor=cursor).SerializeToString()


async def _rate(fleet: Fleet, streams: int, events: int, send: Send) -> float:
    await fleet.expect(events)
    began = time.time()
    await burst(events, IN_FLIGHT, send)
    return streams * events / ((await fleet.arrived()).end - began)


async def _latency(fleet: Fleet, events: int, send: Send) -> float:
    await fleet.expect(events)
    for number in range(events):
        await send(number)
        await asyncio.sleep(_PAUSE)
    return (await fleet.arrived()).p50_ms


@asynccontextmanager
async def _sides(rig: Rig, streams: int, events: tuple[int, int], *, latency: bool = False) -> AsyncIterator[Sides]:
    count = rig.size(*events)
    address = await rig.floor_server()
    async with (
        running_load(rig, 1) as load,
        subscribed(rig, address, "", streams) as bare,
        subscribed(rig, rig.addresses.session, load.sessions[0], streams) as fleet,
        _channel(address) as floor_send,
    ):

        async def append(_: int) -> None:
            event = NewEvent(type=EVENT_TYPE, payload_json=_payload())
            await rig.client.events.AppendEvents(AppendEventsRequest(session_id=load.sessions[0], events=[event]))

        async def take(readers: Fleet, send: Send) -> float:
            return await (_latency(readers, count, send) if latency else _rate(readers, streams, count, send))

        yield Sides(partial(take, fleet, append), partial(take, bare, floor_send))


@asynccontextmanager
async def _channel(address: str) -> AsyncIterator[Send]:
    import grpc

    async with grpc.aio.insecure_channel(address) as channel:
        send = unary(channel, "Send")
        yield lambda _: send(_floor_message())


_FLOOR = "gRPC: one row committed, the same bytes streamed"
RATE_100 = Comparison(
    name="fan_out_100", title="fan-out to 100 streams", unit="deliveries/s", aim=Aim(0.8, "more"), floor_title=_FLOOR,
    prepare=partial(_sides, streams=100, events=(20, 100)),
)  # fmt: skip
RATE_1000 = Comparison(
    name="fan_out_1000", title="fan-out to 1,000 streams", unit="deliveries/s", aim=Aim(0.8, "more"),
    floor_title=_FLOOR, prepare=partial(_sides, streams=1000, events=(4, 15)),
)  # fmt: skip
LATENCY_100 = Comparison(
    name="fan_out_latency", title="fan-out latency, 100 streams, p50", unit="ms", aim=Aim(1.5, "less"),
    floor_title=_FLOOR, prepare=partial(_sides, streams=100, events=(8, 30), latency=True),
)  # fmt: skip
