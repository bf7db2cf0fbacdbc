"""The calls that most tests make as a client."""

from collections.abc import Mapping
from typing import Any

import orjson
from google.protobuf.duration_pb2 import Duration

from callboard.agents.v1.agents_pb2 import Agent, Connector, CreateAgentRequest
from callboard.commands.v1 import commands_pb2
from callboard.commands.v1.commands_pb2 import (
    AcceptedCommand,
    BulkSubmitCommandsRequest,
    CancelCommandRequest,
    Command,
    CommandOptions,
    CommandSpec,
    GetCommandRequest,
    SubmitCommandRequest,
)
from callboard.events.v1.events_pb2 import AppendEventsRequest, AppendEventsResponse, NewEvent
from callboard.sessions.v1.sessions_pb2 import Session, StartSessionRequest, StopSessionRequest, StopSessionResponse
from libs.rpc.stubs import Stubs
from tests.support.eventually import eventually

SUCCEEDED = commands_pb2.COMMAND_STATE_SUCCEEDED
FAILED = commands_pb2.COMMAND_STATE_FAILED
CANCELLED = commands_pb2.COMMAND_STATE_CANCELLED
RUNNING = commands_pb2.COMMAND_STATE_RUNNING
ENDED = {SUCCEEDED, FAILED, CANCELLED}
QUICK = Duration(nanos=10_000_000)


async def make_agent(client: Stubs, agent_id: str = "clock", *, exclusive: bool = True) -> None:
    """Creates an echo agent."""
    agent = Agent(agent_id=agent_id, connector=Connector(kind="echo"), exclusive=exclusive)
    await client.agents.CreateAgent(CreateAgentRequest(agent=agent))


async def start(client: Stubs, agent_id: str = "clock", **fields: Any) -> Session:
    """Starts the agent's session."""
    response = await client.sessions.StartSession(StartSessionRequest(agent_id=agent_id, **fields))
    return response.session


async def stop(client: Stubs, **fields: str) -> StopSessionResponse:
    """Stops a session: that of agent `clock`, unless the fields name another."""
    return await client.sessions.StopSession(StopSessionRequest(**(fields or {"agent_id": "clock"})))


async def submit(
    client: Stubs,
    type_: str = "echo",
    params: Mapping[str, Any] | None = None,
    *,
    agent_id: str = "clock",
    request_id: str = "",
    **options: Any,
) -> AcceptedCommand:
    """Submits a command to the agent's session."""
    spec = CommandSpec(
        agent_id=agent_id, type=type_, params_json=orjson.dumps(dict(params or {})).decode(), request_id=request_id,
        options=CommandOptions(**options),
    )  # fmt: skip
    response = await client.commands.SubmitCommand(SubmitCommandRequest(command=spec))
    return response.command


async def submit_many(client: Stubs, count: int) -> list[str]:
    """Submits `count` commands to the agent's session in one call, and returns their ids."""
    spec = CommandSpec(agent_id="clock", type="echo")
    answer = await client.commands.BulkSubmitCommands(BulkSubmitCommandsRequest(commands=[spec] * count))
    return [result.command.command_id for result in answer.results]


def quickly(**options: Any) -> dict[str, Any]:
    """Options of a command that is retried after 10 ms."""
    return {"backoff": QUICK, "max_backoff": QUICK, **options}


async def cancel(client: Stubs, command_id: str, **fields: Any) -> Command:
    """Cancels a command."""
    request = CancelCommandRequest(command_id=command_id, reason="unwanted", **fields)
    return (await client.commands.CancelCommand(request)).command


async def get_command(client: Stubs, command_id: str) -> Command:
    """Reads a command."""
    return (await client.commands.GetCommand(GetCommandRequest(command_id=command_id))).command


async def ended(client: Stubs, command_id: str, timeout: float = 20) -> Command:  # noqa: ASYNC109
    """Waits until a command has ended."""
    return await in_state(client, command_id, *ENDED, timeout=timeout)


async def in_state(client: Stubs, command_id: str, *states: int, timeout: float = 20) -> Command:  # noqa: ASYNC109
    """Waits until a command is in one of the states."""
    found: list[Command] = []

    async def is_there() -> bool:
        command = await get_command(client, command_id)
        assert command.state in states, command
        found.append(command)
        return True

    await eventually(is_there, timeout)
    return found[-1]


async def append(client: Stubs, session_id: str, *payloads: Any, **fields: Any) -> AppendEventsResponse:
    """Appends an event to a session for each payload."""
    events = [
        NewEvent(type=fields.get("type", "iteration"), payload_json=orjson.dumps({"n": payload}).decode())
        for payload in payloads
    ]
    return await client.events.AppendEvents(
        AppendEventsRequest(session_id=session_id, events=events, request_id=fields.get("request_id", ""))
    )
