"""The duration of a durable unary call on an idle suite, p50 in ms.

Ours: `SubmitCommand` of an echo command, each after the end of the previous one, and `AppendEvents` of one event, over
gRPC stubs. Floor: a bare grpc.aio server whose only handler inserts a row and commits, with the same number of calls
from the same process. Calls are sequential.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.figure import Comparison, Sides
from bench.floors.calls import BODY, floor_channel, unary
from bench.load import PARAMS, running_load
from bench.rig import Rig
from bench.stats import Aim, median
from bench.timing import each_ms
from callboard.events.v1.events_pb2 import AppendEventsRequest, NewEvent


@asynccontextmanager
async def _submit(rig: Rig) -> AsyncIterator[Sides]:
    calls = rig.size(25, 100)
    async with floor_channel(rig) as channel, running_load(rig, 1) as load:
        insert = unary(channel, "Insert")

        async def floor() -> float:
            return median(await each_ms(calls, lambda _: insert(BODY)))

        async def ours() -> float:
            took = []
            for number in range(calls):
                took += await each_ms(1, lambda _, number=number: load.submit(number))  # type: ignore[misc]
                await load.drained()
            return median(took)

        yield Sides(ours, floor)


@asynccontextmanager
async def _append(rig: Rig) -> AsyncIterator[Sides]:
    calls = rig.size(40, 150)
    async with floor_channel(rig) as channel, running_load(rig, 1) as load:
        insert = unary(channel, "Insert")
        event = NewEvent(type="custom.bench", payload_json=PARAMS)
        request = AppendEventsRequest(session_id=load.sessions[0], events=[event])

        async def floor() -> float:
            return median(await each_ms(calls, lambda _: insert(BODY)))

        async def ours() -> float:
            return median(await each_ms(calls, lambda _: rig.client.events.AppendEvents(request)))

        yield Sides(ours, floor)


_AIM = Aim(2.0, "less")
_FLOOR = "gRPC + one row committed"
_PEERS = "LangGraph dev server 3.4 ms"
SUBMIT = Comparison(
    name="call_submit", title="durable call, idle, p50: SubmitCommand", unit="ms", aim=_AIM, floor_title=_FLOOR,
    peers=_PEERS, prepare=_submit,
)  # fmt: skip
APPEND = Comparison(
    name="call_append", title="durable call, idle, p50: AppendEvents of 1", unit="ms", aim=_AIM, floor_title=_FLOOR,
    peers=_PEERS, prepare=_append,
)  # fmt: skip
