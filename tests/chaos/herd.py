"""W7: many clients start, stop and restart one agent at the same time."""

import asyncio
import random

from callboard.agents.v1.agents_pb2 import Agent, Connector, CreateAgentRequest
from tests.chaos.calls import CALL_SECONDS
from tests.chaos.workload import Workload

CLIENTS = 64


async def stampede(workload: Workload, agent: str, seconds: float, seed: int) -> None:
    """Let 64 clients change a new agent's session for some seconds, then stop the session."""
    request = CreateAgentRequest(agent=Agent(agent_id=agent, connector=Connector(kind="echo")))
    await workload.caller.clients[0].agents.CreateAgent(request, timeout=CALL_SECONDS)
    ends = asyncio.get_running_loop().time() + seconds
    await asyncio.gather(*(_one(workload, agent, ends, random.Random(f"{seed}/{n}")) for n in range(CLIENTS)))
    await workload.stop(agent)


async def _one(workload: Workload, agent: str, ends: float, draw: random.Random) -> None:
    while asyncio.get_running_loop().time() < ends:
        act = draw.choice([workload.start, workload.start, workload.stop, workload.restart])
        await act(agent)
        await asyncio.sleep(draw.uniform(0, 0.3))
