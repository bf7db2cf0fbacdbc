"""Resident memory per 1,000 idle sessions and per idle subscriber, on a separate suite.

It compares RssAnon of the session service before and after 500 streams follow one idle session, then RssAnon of the
session service, the command service and the runner before and after 1,000 sessions of one echo agent that is not
exclusive were started and connected. There is no floor, because nothing comparable keeps as much.
"""

import asyncio
from collections.abc import Sequence

from bench.clients.fleet import subscribed
from bench.figure import Survey
from bench.load import PATIENCE, make_agent, start_connected, stop_session
from bench.rig import Rig
from bench.stats import Row
from bench.timing import burst
from callboard.events.v1.events_pb2 import StreamEventsRequest
from callboard.sessions.v1.sessions_pb2 import StartSessionRequest

IN_FLIGHT = 32
_PROCESSES = ("session", "command", "runner-1")
_SETTLE = 1.0


async def _sessions(rig: Rig, agent: str, count: int) -> list[str]:
    """Start sessions, and wait until all are connected."""
    connected, sessions = 0, []
    call = rig.client.events.StreamEvents(StreamEventsRequest(agent_id=agent, types=["agent.connected"]))

    async def watch() -> None:
        nonlocal connected
        async for response in call:
            connected += len(response.batch.events)
            if connected >= count:
                return

    watching = asyncio.create_task(watch(), name="connected")
    await asyncio.sleep(0.3)

    async def start(_: int) -> None:
        response = await rig.client.sessions.StartSession(StartSessionRequest(agent_id=agent))
        sessions.append(response.session.session_id)

    try:
        await burst(count, IN_FLIGHT, start)
        async with asyncio.timeout(PATIENCE):
            await watching
    finally:
        call.cancel()
    return sessions


async def _subscriber(rig: Rig, session_id: str, streams: int) -> float:
    """Return the KiB of the session service per stream of an idle session."""
    async with subscribed(rig, rig.addresses.session, session_id, 20):
        await asyncio.sleep(_SETTLE)
        empty = rig.resident_bytes("session")
        async with subscribed(rig, rig.addresses.session, session_id, streams):
            await asyncio.sleep(_SETTLE)
            return (rig.resident_bytes("session") - empty) / streams / 1024


async def _take(rig: Rig) -> Sequence[Row]:
    count, streams = rig.size(200, 1000), rig.size(100, 500)
    agent = await make_agent(rig, exclusive=False)
    first = await start_connected(rig, agent)
    each = await _subscriber(rig, first, streams)
    warm = await _sessions(rig, agent, 50)  # the first sessions fill pools and caches
    before = {name: rig.resident_bytes(name) for name in _PROCESSES}
    sessions = warm + await _sessions(rig, agent, count)
    await asyncio.sleep(_SETTLE)
    rows = [
        Row(f"memory_{name}", f"1,000 idle sessions, {name}", "MiB",
            [(rig.resident_bytes(name) - before[name]) / count * 1000 / 2**20])
        for name in _PROCESSES
    ]  # fmt: skip
    await burst(len(sessions), IN_FLIGHT, lambda number: stop_session(rig, sessions[number]))
    await stop_session(rig, first)
    return [*rows, Row("memory_subscriber", "idle subscriber, session service", "KiB", [each])]


MEMORY = Survey(name="memory", take=_take, alone=True)
