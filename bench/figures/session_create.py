"""Sessions created per second, 32 calls in flight.

Ours: `StartSession` for one agent that is not `exclusive`, so that the sessions of a sample are spread over the log
partitions by their ids. The runner is suspended during a sample, because connecting agents is not part of creating
sessions. The sessions are stopped after the sample. Floor: a bare grpc.aio server with group commit, one row per call.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.figure import Comparison, Sides
from bench.floors.calls import BODY, floor_channel, unary
from bench.load import make_agent, stop_session
from bench.rig import Rig
from bench.stats import Aim
from bench.timing import burst
from callboard.sessions.v1.sessions_pb2 import StartSessionRequest

IN_FLIGHT = 32


@asynccontextmanager
async def _sides(rig: Rig) -> AsyncIterator[Sides]:
    total = rig.size(128, 800)
    agent = await make_agent(rig, exclusive=False)
    async with floor_channel(rig) as channel:
        batch = unary(channel, "Batch")
        request = StartSessionRequest(agent_id=agent)

        async def floor() -> float:
            return await burst(total, IN_FLIGHT, lambda _: batch(BODY))

        async def ours() -> float:
            sessions: list[str] = []

            async def start(_: int) -> None:
                response = await rig.client.sessions.StartSession(request)
                assert response.created
                sessions.append(response.session.session_id)

            with rig.runner_suspended():
                rate = await burst(total, IN_FLIGHT, start)
            await burst(total, IN_FLIGHT, lambda number: stop_session(rig, sessions[number]))
            return rate

        yield Sides(ours, floor)


SESSION_CREATE = Comparison(
    name="session_create", title="session create, 32 in flight", unit="/s", aim=Aim(0.7, "more"),
    floor_title="gRPC + group commit", peers="LangGraph 180/s", prepare=_sides,
)  # fmt: skip
