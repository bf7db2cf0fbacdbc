"""The real services and runners in the test's own process, on the test's own database and broker."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import psycopg
import pytest
from psycopg.rows import TupleRow
from pydantic import SecretStr

from callboard.agents.v1.agents_pb2 import Agent, Connector, CreateAgentRequest
from callboard.aio import CallboardError, Client
from callboard.commands.v1 import commands_pb2
from callboard.commands.v1.commands_pb2 import (
    AcceptedCommand,
    Command,
    CommandOptions,
    CommandSpec,
    GetCommandRequest,
    SubmitCommandRequest,
)
from callboard.events.v1.events_pb2 import Event, ListEventsRequest
from callboard.sessions.v1.sessions_pb2 import Session, StartSessionRequest
from libs.bus import Bus, Hints
from libs.db import Database
from libs.engines.ports import free_port
from libs.identity.admin import create_key
from libs.signals import BusSignals
from services.command.app import serve as serve_commands
from services.command.domain.failure import AttemptFailedError, Failure, FailureCode
from services.command.ports.executor import Connector as ConnectorRef
from services.command.ports.executor import Execution, Executor, Reporter, SessionRef
from services.command.runner.runner import LeaseLostError, Runner, RunnerLimits
from services.command.settings import CommandSettings
from services.command.store.work import PostgresWork
from services.session.app import serve as serve_sessions
from services.session.settings import SessionSettings
from tests.support.eventually import eventually

TENANT = "acme"
ENDED = {
    commands_pb2.COMMAND_STATE_SUCCEEDED,
    commands_pb2.COMMAND_STATE_FAILED,
    commands_pb2.COMMAND_STATE_CANCELLED,
}


@contextlib.contextmanager
def refused(reason: str) -> Any:
    """Expects a refusal for this reason; the caught error is what it yields."""
    with pytest.raises(CallboardError) as caught:
        yield caught
    assert caught.value.reason == reason, caught.value


class Process:
    """One service or runner as a task."""

    def __init__(self, name: str, serve: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
        self._stop = asyncio.Event()
        self.task = asyncio.create_task(serve(self._stop), name=name)

    async def stop(self) -> None:
        """Ends it in order, as SIGTERM does, and lets its failure out."""
        self._stop.set()
        await asyncio.wait_for(self.task, 30)

    async def kill(self) -> None:
        """Ends it where it stands."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class ScriptedConnection:
    """Does what the type of a command says; every attempt is noted."""

    def __init__(self, executor: "ScriptedExecutor") -> None:
        self._executor = executor
        self.lost = asyncio.Event()
        self.description: Mapping[str, Any] = {"name": "scripted", "version": "1"}

    async def execute(self, execution: Execution, report: Reporter) -> Mapping[str, Any]:
        executor = self._executor
        executor.began.append((execution.command_id, execution.attempt))
        executor.running.add(execution.command_id)
        executor.most_running = max(executor.most_running, len(executor.running))
        try:
            return await self._execute(execution, report)
        finally:
            executor.running.discard(execution.command_id)
            executor.ended.append(execution.command_id)

    async def _execute(self, execution: Execution, report: Reporter) -> Mapping[str, Any]:
        params = execution.params
        match execution.type:
            case "echo":
                return {"echo": dict(params)}
            case "big":
                return {"text": "x" * params["bytes"]}
            case "fail":
                times: int = params.get("times", 1_000)
                if execution.attempt <= times:
                    code = FailureCode(params.get("code", "TOOL_ERROR"))
                    message = params.get("message", "scripted")
                    if "escaped" in params:  # what a request cannot carry
                        message = params["escaped"].encode().decode("unicode_escape")
                    raise AttemptFailedError(
                        Failure(code, message, params.get("retryable", True), charged=params.get("charged", True))
                    )
                return {"attempt": execution.attempt}
            case "fault":
                raise ValueError("scripted fault")
            case "hang":
                await self._executor.gate.wait()
                return {"released": True}
            case "deaf":  # heeds no cancel
                while not self._executor.gate.is_set():
                    with contextlib.suppress(asyncio.CancelledError):
                        await self._executor.gate.wait()
                return {"deaf": True}
            case "progress":
                for step in range(params["steps"]):
                    report.progress(step + 1, params["steps"], f"step {step + 1}")
                    report.output({"line": step})
                    await asyncio.sleep(params.get("pause", 0))
                return {"steps": params["steps"]}
            case other:
                raise AssertionError(other)

    async def close(self, grace: float) -> None:
        self._executor.closed += not self.lost.is_set()
        self.lost.set()


class ScriptedExecutor:
    """An executor for tests: `gate` lets what hangs go on."""

    def __init__(self) -> None:
        self.began: list[tuple[str, int]] = []
        self.ended: list[str] = []
        self.running: set[str] = set()
        self.most_running = 0
        self.gate = asyncio.Event()
        self.opened = 0
        self.closed = 0
        self.refuse: Failure | None = None

    async def connect(self, session: SessionRef, connector: ConnectorRef) -> ScriptedConnection:
        if self.refuse is not None:
            raise AttemptFailedError(self.refuse)
        self.opened += 1
        return ScriptedConnection(self)


@dataclass
class Suite:
    """What a test needs of the running suite."""

    database_url: str
    app_url: str
    nats_url: str
    key: str
    lease: float = 1.5
    session_addresses: list[str] = field(default_factory=list)
    command_addresses: list[str] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)

    # processes

    async def session_app(self) -> Process:
        """Starts a replica of the session service and waits until it answers."""
        port = free_port()
        settings = SessionSettings.model_construct(
            database_url=SecretStr(self.app_url), nats_url=SecretStr(self.nats_url), host="127.0.0.1",
            session_port=port, metrics_port=0, servers_file=None, database_connections=8, log_level="info",
        )  # fmt: skip
        process = self._run("session app", lambda stop: serve_sessions(settings, stop))
        await self._listens(process, port)
        self.session_addresses.append(f"127.0.0.1:{port}")
        return process

    async def command_app(self) -> Process:
        """Starts a replica of the command service and waits until it answers."""
        port = free_port()
        settings = CommandSettings.model_construct(
            database_url=SecretStr(self.app_url), nats_url=SecretStr(self.nats_url), host="127.0.0.1",
            command_port=port, metrics_port=0, database_connections=8, lease=self.lease, log_level="info",
        )  # fmt: skip
        process = self._run("command app", lambda stop: serve_commands(settings, stop))
        await self._listens(process, port)
        self.command_addresses.append(f"127.0.0.1:{port}")
        return process

    async def runner(self, executor: Executor, *, slots: int = 64, drain: float = 2.0) -> Process:
        """Starts a runner with an executor of the test's, and waits until it is entered."""
        name = f"runner-{len(self.processes)}"
        limits = RunnerLimits(name, slots=slots, lease=self.lease, heartbeat=self.lease / 3, drain=drain)
        process = self._run(name, lambda stop: self._serve_runner(executor, limits, stop))

        async def is_entered() -> bool:
            assert not process.task.done(), process.task
            return bool(await self.rows("select 1 from command.runners where name = %s and dead_at is null", name))

        await eventually(is_entered)
        return process

    async def _serve_runner(self, executor: Executor, limits: RunnerLimits, stop: asyncio.Event) -> None:
        async with contextlib.AsyncExitStack() as stack:
            database = Database.of(self.app_url, role="callboard_command", name=limits.name, size=6)
            await database.open()
            stack.push_async_callback(database.close)
            bus = await Bus.connect(self.nats_url, limits.name)
            stack.push_async_callback(bus.close)
            work = PostgresWork(database, BusSignals(Hints(bus)))
            while not stop.is_set():
                with contextlib.suppress(LeaseLostError):
                    await Runner(bus, work, executor, limits).run(stop)

    def _run(self, name: str, serve: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> Process:
        process = Process(name, serve)
        self.processes.append(process)
        return process

    async def _listens(self, process: Process, port: int) -> None:
        async def is_there() -> bool:
            if process.task.done():
                process.task.result()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return False
            writer.close()
            return True

        await eventually(is_there)

    # clients

    def client(self, key: str | None = None, *, session: int = 0, command: int = 0) -> Client:
        """A client of one replica of each service; of the command service only where there is one."""
        commands = self.command_addresses or self.session_addresses
        made = Client(self.session_addresses[session], commands[command % len(commands)], key or self.key)
        self.clients.append(made)
        return made

    def new_key(self, role: str = "admin", tenant: str = TENANT) -> str:
        """Makes a key, and its tenant when that is new."""
        with psycopg.connect(self.database_url) as connection:
            return create_key(connection, tenant, role).secret_text

    # the database

    async def rows(self, query: str, *parameters: Any) -> list[TupleRow]:
        """Asks the database as its owner."""
        async with await psycopg.AsyncConnection.connect(self.database_url, autocommit=True) as connection:
            cursor = await connection.execute(query.encode(), parameters or None)
            return await cursor.fetchall() if cursor.description else []

    async def value(self, query: str, *parameters: Any) -> Any:
        """The one value that a query answers."""
        return (await self.rows(query, *parameters))[0][0]


@contextlib.asynccontextmanager
async def running_suite(
    database_url: str,
    app_url: str,
    nats_url: str,
    *,
    sessions: int = 1,
    commands: int = 0,
    lease: float = 1.5,
) -> AsyncIterator[Suite]:
    """So many replicas of the two services, and nothing left of them afterwards; none may have failed."""
    with psycopg.connect(database_url) as connection:
        key = create_key(connection, TENANT, "admin").secret_text
    suite = Suite(database_url, app_url, nats_url, key, lease)
    try:
        for _ in range(sessions):
            await suite.session_app()
        for _ in range(commands):
            await suite.command_app()
        yield suite
        for client in suite.clients:
            await client.close()
        for process in reversed(suite.processes):
            if not process.task.done() or process.task.cancelled() is False:
                await process.stop()
    finally:
        for client in suite.clients:
            await client.close()
        for process in reversed(suite.processes):
            await process.kill()


# what most tests do


async def make_agent(client: Client, agent_id: str = "clock", *, concurrent: bool = False) -> None:
    """Creates an agent without any agent behind it."""
    agent = Agent(agent_id=agent_id, connector=Connector(kind="echo"), concurrent_sessions=concurrent)
    await client.agents.CreateAgent(CreateAgentRequest(agent=agent))


async def start(client: Client, agent_id: str = "clock", **fields: Any) -> Session:
    """Starts the agent's session."""
    response = await client.sessions.StartSession(StartSessionRequest(agent_id=agent_id, **fields))
    return response.session


async def submit(
    client: Client,
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


async def get_command(client: Client, command_id: str) -> Command:
    """Reads a command."""
    return (await client.commands.GetCommand(GetCommandRequest(command_id=command_id))).command


async def ended(client: Client, command_id: str, timeout: float = 20) -> Command:  # noqa: ASYNC109
    """Waits until a command has ended."""
    return await in_state(client, command_id, *ENDED, timeout=timeout)


async def in_state(client: Client, command_id: str, *states: int, timeout: float = 20) -> Command:  # noqa: ASYNC109
    """Waits until a command is in one of the states."""
    found: list[Command] = []

    async def is_there() -> bool:
        command = await get_command(client, command_id)
        assert command.state in states, command
        found.append(command)
        return True

    await eventually(is_there, timeout)
    return found[-1]


async def events_of(client: Client, session_id: str, **fields: Any) -> list[Event]:
    """All events of a session, page by page."""
    found: list[Event] = []
    token = ""
    while True:
        request = ListEventsRequest(session_id=session_id, page_token=token, page_size=500, **fields)
        page = await client.events.ListEvents(request)
        found += page.events
        token = page.next_page_token
        if not token:
            return found


def types_of(events: list[Event]) -> list[str]:
    """The types of events, in order."""
    return [event.type for event in events]


def assert_gapless(events: list[Event]) -> None:
    """Each seq from 1 on, once and in order."""
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


def audits_of(events: list[Event]) -> Counter[str]:
    """How often each type is told at level audit."""
    return Counter(event.type for event in events if event.level == 4)


async def all_of(*work: Awaitable[Any]) -> list[Any]:
    """The outcomes of what runs at once, refusals among them."""
    return await asyncio.gather(*work, return_exceptions=True)
