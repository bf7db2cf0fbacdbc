"""Steps that end-to-end tests share, and the rules that must hold after all of them."""

from collections import Counter, defaultdict
from typing import Any

from callboard.agents.v1.agents_pb2 import Agent, Connector, CreateAgentRequest
from callboard.commands.v1.commands_pb2 import AcceptedCommand, BulkSubmitCommandsRequest, CommandSpec
from callboard.events.v1.events_pb2 import AppendEventsRequest, Event, NewEvent
from callboard.sessions.v1.sessions_pb2 import Session, StopSessionRequest
from libs.rpc.stubs import Stubs
from tests.support.client_calls import start, submit
from tests.support.eventually import eventually
from tests.support.processes import Suite
from tests.support.stored_events import assert_gapless, events_of, types_of

TERMINAL = ("command.completed", "command.failed", "command.cancelled")


async def agent(client: Stubs, agent_id: str, server: str = "") -> None:
    """Creates an agent: of an MCP server of the registry, or an echo agent."""
    connector = Connector(kind="mcp", server=server) if server else Connector(kind="echo")
    await client.agents.CreateAgent(CreateAgentRequest(agent=Agent(agent_id=agent_id, connector=connector)))


async def connected_session(client: Stubs, agent_id: str, server: str = "") -> Session:
    """Creates an agent, starts its session, and waits until the agent is connected."""
    await agent(client, agent_id, server)
    session = await start(client, agent_id)
    await until_event(client, session.session_id, "agent.connected")
    return session


async def until_event(client: Stubs, session_id: str, type_: str, count: int = 1, seconds: float = 20.0) -> None:
    """Waits until the session has `count` events of this type."""

    async def is_told() -> bool:
        types = types_of(await events_of(client, session_id, types=[type_]))
        assert len(types) >= count, types
        return True

    await eventually(is_told, seconds)


async def run_tool(client: Stubs, agent_id: str, tool: str, /, **arguments: Any) -> AcceptedCommand:
    """Submits `run_tool`."""
    return await submit(client, "run_tool", {"tool": tool, "arguments": arguments}, agent_id=agent_id)


async def stop(client: Stubs, agent_id: str) -> Session:
    """Stops the agent's session."""
    return (await client.sessions.StopSession(StopSessionRequest(agent_id=agent_id))).session


async def submit_many(client: Stubs, agent_id: str, count: int, type_: str = "echo", params: str = "") -> list[str]:
    """Submits `count` commands in one call, expects all to be accepted, and returns their ids."""
    specs = [CommandSpec(agent_id=agent_id, type=type_, params_json=params) for _ in range(count)]
    answer = await client.commands.BulkSubmitCommands(BulkSubmitCommandsRequest(commands=specs))
    assert not any(result.HasField("refusal") for result in answer.results), answer
    return [result.command.command_id for result in answer.results]


async def append(client: Stubs, session_id: str, count: int, type_: str = "custom.step") -> None:
    """Appends `count` events."""
    events = [NewEvent(type=type_, payload_json="{}") for _ in range(count)]
    await client.events.AppendEvents(AppendEventsRequest(session_id=session_id, events=events))


async def until_idle(suite: Suite, session_id: str, seconds: float = 30.0) -> None:
    """Waits until no command of the session is open, including those whose submits got no answer."""
    await suite.until(
        "select not exists (select from command.commands c where c.session_id = %s and c.finished_at is null)",
        session_id,
        seconds=seconds,
    )


async def settled_events(suite: Suite, client: Stubs, session_id: str) -> list[Event]:
    """Waits until a session's commands have ended, checks the rules that always hold, and returns its events.

    Each seq occurs once. Each command is enqueued once and ends once, and has no event after its end. Each attempt
    starts once and ends once.
    """
    await until_idle(suite, session_id)
    events = await events_of(client, session_id)
    assert_gapless(events)
    by_command: dict[str, list[str]] = defaultdict(list)
    for event in events:
        if event.command_id and event.type.startswith("command."):
            by_command[event.command_id].append(event.type)
    for command_id, types in by_command.items():
        assert types[0] == "command.enqueued", (command_id, types)
        assert [type_ in TERMINAL for type_ in types].count(True) == 1, (command_id, types)
        ending = [type_ for type_ in types if type_ != "command.dead_lettered"][-1]
        assert ending in TERMINAL, (command_id, types)
    rows = await suite.rows(
        "select command_id::text, attempt, outcome from command.attempts "
        "where command_id = any (%s::uuid[]) order by command_id, attempt",
        list(by_command),
    )
    attempts: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for command_id, number, outcome in rows:
        attempts[command_id].append((number, outcome))
    for command_id, ended in attempts.items():
        assert [number for number, _ in ended] == list(range(1, len(ended) + 1)), ended
        assert Counter(by_command[command_id])["command.started"] == len(ended), (ended, by_command[command_id])
        assert all(outcome in ("retrying", "released") for _, outcome in ended[:-1]), ended
    return events


def types_of_command(events: list[Event], command_id: str) -> list[str]:
    """The types of the events of one command, in order."""
    return [event.type for event in events if event.command_id == command_id]
