"""REST over gRPC: commands submitted per second by POST, 32 requests in flight.

Ours: POST `/api/v1/agents/{id}/command` to the gateway. Floor: a bare Starlette application under uvicorn that makes
the same gRPC call with the same key. Both call the same command service. The runner is suspended during a sample.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.clients.http import posting
from bench.figure import Comparison, Sides
from bench.load import running_load
from bench.rig import Rig, http_ready
from bench.stats import Aim
from bench.timing import Call, burst

IN_FLIGHT = 32
_BODY = b'{"type":"echo","params":{"a":1}}'


@asynccontextmanager
async def _sides(rig: Rig) -> AsyncIterator[Sides]:
    total = rig.size(150, 1000)
    gateway = await rig.gateway()
    bare = await rig.serve("bench.floors.http_server", http_ready, BENCH_COMMAND_ADDRESS=rig.addresses.command)
    async with (
        running_load(rig, 1) as load,
        posting(bare, f"/{load.agents[0]}", _BODY, rig.key, IN_FLIGHT) as post_bare,
        posting(gateway, f"/api/v1/agents/{load.agents[0]}/command", _BODY, rig.key, IN_FLIGHT) as post,
    ):

        async def take(call: Call) -> float:
            load.submitted += total
            with rig.runner_suspended():
                rate = await burst(total, IN_FLIGHT, call)
            await load.drained()
            return rate

        yield Sides(lambda: take(post), lambda: take(post_bare))


REST = Comparison(
    name="rest", title="REST over gRPC: POST command, 32 in flight", unit="/s", aim=Aim(0.95, "more"),
    floor_title="Starlette to the same gRPC call", prepare=_sides,
)  # fmt: skip
