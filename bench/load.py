"""Agents with sessions that execute commands, and a watch that counts the completed commands."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bench.rig import Rig
from callboard.agents.v1.agents_pb2 import Agent, Connector, CreateAgentRequest
from callboard.commands.v1.commands_pb2 import (
    BulkSubmitCommandsRequest,
    CommandSpec,
    SubmitCommandRequest,
    SubmitCommandResponse,
)
from callboard.events.v1.events_pb2 import Event, StreamEventsRequest
from callboard.sessions.v1.sessions_pb2 import StartSessionRequest, StopSessionRequest

PATIENCE = 60.0  # seconds without any progress, after which a figure fails
PARAMS = '{"a":1}'
_CONNECTED = "agent.connected"


class Load:
    """Sessions of echo agents. `completed` counts the completions seen on the agents' streams."""

    def __init__(self, rig: Rig, agents: Sequence[str]) -> None:
        self.agents = agents
        self.sessions: list[str] = []
        self.submitted = 0
        self.completed = 0
        self.seen: list[Event] | None = None
        self._client = rig.client
        self._changed = asyncio.Event()

    async def submit(self, number: int) -> SubmitCommandResponse:
        """Submit one command, to each agent in turn."""
        self.submitted += 1
        spec = CommandSpec(agent_id=self.agents[number % len(self.agents)], type="echo", params_json=PARAMS)
        return await self._client.commands.SubmitCommand(SubmitCommandRequest(command=spec))

    async def submit_many(self, number: int, size: int = 100) -> None:
        """Submit commands in one call, to each agent in turn. All must be accepted."""
        spec = CommandSpec(agent_id=self.agents[number % len(self.agents)], type="echo", params_json=PARAMS)
        self.submitted += size
        response = await self._client.commands.BulkSubmitCommands(BulkSubmitCommandsRequest(commands=[spec] * size))
        assert all(result.HasField("command") for result in response.results)

    async def until(self, outstanding: int) -> None:
        """Wait until at most `outstanding` commands are not completed."""
        while self.submitted - self.completed > outstanding:
            self._changed.clear()
            async with asyncio.timeout(PATIENCE):
                await self._changed.wait()

    async def drained(self) -> None:
        """Wait until all commands are completed."""
        await self.until(0)

    async def watch(self, agent: str) -> None:
        """Count the completed commands of an agent."""
        request = StreamEventsRequest(agent_id=agent, types=["command.started", "command.completed"])
        call = self._client.events.StreamEvents(request)
        try:
            async for response in call:
                self._take([streamed.event for streamed in response.batch.events])
        finally:
            call.cancel()

    def _take(self, events: Sequence[Event]) -> None:
        self.completed += sum(event.type == "command.completed" for event in events)
        if self.seen is not None:
            self.seen += events
        self._changed.set()


async def make_agent(rig: Rig, *, exclusive: bool = True) -> str:
    """Create an echo agent."""
    name = rig.name("bench")
    agent = Agent(agent_id=name, connector=Connector(kind="echo"), exclusive=exclusive)
    await rig.client.agents.CreateAgent(CreateAgentRequest(agent=agent))
    return name


async def start_connected(rig: Rig, agent: str) -> str:
    """Start a session, wait until a runner has connected it, and return its id."""
    session = (await rig.client.sessions.StartSession(StartSessionRequest(agent_id=agent))).session
    call = rig.client.events.StreamEvents(StreamEventsRequest(session_id=session.session_id, types=[_CONNECTED]))
    try:
        async with asyncio.timeout(PATIENCE):
            async for response in call:
                if response.batch.events:
                    break
    finally:
        call.cancel()
    return session.session_id


async def stop_session(rig: Rig, session_id: str) -> None:
    """Stop a session."""
    await rig.client.sessions.StopSession(StopSessionRequest(session_id=session_id))


@asynccontextmanager
async def running_load(rig: Rig, agents: int) -> AsyncIterator[Load]:
    """Create agents with a connected and watched session each. The sessions are stopped afterwards."""
    load = Load(rig, [await make_agent(rig) for _ in range(agents)])
    load.sessions += [await start_connected(rig, agent) for agent in load.agents]
    watches = [asyncio.create_task(load.watch(agent), name=f"watch {agent}") for agent in load.agents]
    try:
        await asyncio.sleep(0.3)  # an agent's stream begins when its service receives the call
        yield load
        await load.drained()
    finally:
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)
        for session in load.sessions:
            await stop_session(rig, session)
