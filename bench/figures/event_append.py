"""Events appended per second, 100 in a call, 4 calls in flight.

Ours: `AppendEvents` of 100 events to 4 sessions of different agents in turn. Floor: 100 rows in a statement, 4
connections, no RPC.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.figure import Comparison, Sides
from bench.floors.inserts import inserting
from bench.load import PARAMS, running_load
from bench.rig import Rig
from bench.stats import Aim
from bench.timing import burst
from callboard.events.v1.events_pb2 import AppendEventsRequest, NewEvent

IN_FLIGHT = 4
BATCH = 100


def append_request(session_id: str, size: int) -> AppendEventsRequest:
    """Return a request for `size` equal events."""
    event = NewEvent(type="custom.bench", payload_json=PARAMS)
    return AppendEventsRequest(session_id=session_id, events=[event] * size)


@asynccontextmanager
async def _sides(rig: Rig) -> AsyncIterator[Sides]:
    calls = rig.size(20, 100)
    async with inserting(rig, IN_FLIGHT, BATCH) as insert, running_load(rig, IN_FLIGHT) as load:
        requests = [append_request(session, BATCH) for session in load.sessions]

        async def floor() -> float:
            return BATCH * await burst(2 * calls, IN_FLIGHT, insert)

        async def ours() -> float:
            append = rig.client.events.AppendEvents
            return BATCH * await burst(calls, IN_FLIGHT, lambda number: append(requests[number % len(requests)]))

        yield Sides(ours, floor)


EVENT_APPEND = Comparison(
    name="event_append", title="event append, 100 to a call", unit="/s", aim=Aim(0.35, "more"),
    floor_title="rows inserted, 100 to a statement", prepare=_sides,
)  # fmt: skip
