"""Load beyond the usual one: callers' own events, requeues of dead letters, and quick changes of one session."""

import asyncio
import json
import random
from contextlib import suppress

from callboard import CallboardError
from callboard.agents.v1.agents_pb2 import Agent, Connector, CreateAgentRequest
from callboard.commands.v1.commands_pb2 import (
    REQUEUED_FILTER_NOT_REQUEUED,
    ListDeadLettersRequest,
    RequeueDeadLetterRequest,
)
from callboard.events.v1.events_pb2 import AppendEventsRequest, NewEvent
from callboard.sessions.v1.sessions_pb2 import SESSION_STATE_ACTIVE, ListSessionsRequest
from tests.chaos.calls import CALL_SECONDS
from tests.chaos.workload import Workload

APPENDED = "custom.chaos"
"""The type of the appended events. Their payload holds the key of the call."""
_APPEND_INTERVAL = 0.2  # seconds
_REQUEUE_INTERVAL = 1.0  # seconds


async def make_agent(workload: Workload, agent: str) -> None:
    """Create an agent that nothing else uses."""
    request = CreateAgentRequest(agent=Agent(agent_id=agent, connector=Connector(kind="echo")))
    await workload.caller.clients[0].agents.CreateAgent(request, timeout=CALL_SECONDS)


async def further_load(workload: Workload, agent: str, seconds: float, seed: int) -> None:
    """Apply the load for some seconds, and finally stop the session of `agent`, which the changes use."""
    ends = asyncio.get_running_loop().time() + seconds
    draws = [random.Random(f"{seed}/{number}") for number in range(3)]
    await asyncio.gather(
        _append(workload, agent, ends, draws[0]),
        _requeue(workload, agent, ends, draws[1]),
        _change(workload, agent, ends, draws[2]),
    )
    await workload.stop(agent)


async def _append(workload: Workload, prefix: str, ends: float, draw: random.Random) -> None:
    number, loop = 0, asyncio.get_running_loop()
    while loop.time() < ends:
        await asyncio.sleep(_APPEND_INTERVAL)
        wanted = ListSessionsRequest(agent_id=draw.choice(workload.agents), states=[SESSION_STATE_ACTIVE])
        with suppress(CallboardError):
            client = draw.choice(workload.caller.clients)
            for session in (await client.sessions.ListSessions(wanted, timeout=CALL_SECONDS)).sessions:
                number += 1
                await _append_once(workload, session.session_id, f"{prefix}-append-{number}")


async def _append_once(workload: Workload, session_id: str, key: str) -> None:
    event = NewEvent(type=APPENDED, payload_json=json.dumps({"key": key}))
    request = AppendEventsRequest(session_id=session_id, events=[event], request_id=key)
    await workload.caller.until_known(
        "append",
        lambda client: client.events.AppendEvents(request, timeout=CALL_SECONDS),
        lambda answer: {"first_seq": answer.first_seq},
        key=key,
    )


async def _requeue(workload: Workload, prefix: str, ends: float, draw: random.Random) -> None:
    loop = asyncio.get_running_loop()
    wanted = ListDeadLettersRequest(page_size=1, requeued=REQUEUED_FILTER_NOT_REQUEUED)
    while loop.time() < ends:
        await asyncio.sleep(_REQUEUE_INTERVAL)
        with suppress(CallboardError):
            client = draw.choice(workload.caller.clients)
            for dead_letter in (await client.dead_letters.ListDeadLetters(wanted, timeout=CALL_SECONDS)).dead_letters:
                await _requeue_once(
                    workload, dead_letter.command.command_id, f"{prefix}-requeue-{dead_letter.command.command_id}"
                )


async def _requeue_once(workload: Workload, command_id: str, key: str) -> None:
    request = RequeueDeadLetterRequest(command_id=command_id, request_id=key)
    await workload.caller.until_known(
        "requeue",
        lambda client: client.dead_letters.RequeueDeadLetter(request, timeout=CALL_SECONDS),
        lambda answer: {"command_id": answer.command.command_id, "session_id": answer.command.session_id},
        key=key,
    )


async def _change(workload: Workload, agent: str, ends: float, draw: random.Random) -> None:
    while asyncio.get_running_loop().time() < ends:
        act = draw.choice([workload.start, workload.stop, workload.restart])
        await act(agent)
        await asyncio.sleep(draw.uniform(0, 0.3))
