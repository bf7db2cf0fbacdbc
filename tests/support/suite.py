"""The real services and runners in the test's process, with the test's own database and broker."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psycopg
from psycopg.rows import TupleRow
from pydantic import SecretStr

from libs.bus import Bus, Notifications
from libs.db import Database
from libs.embedded.ports import free_port
from libs.identity.admin import create_key
from libs.notifications import BusNotifier
from libs.rpc.stubs import Stubs
from services.command.app import serve as serve_commands
from services.command.settings import CommandSettings
from services.runner.app import stores_on
from services.runner.executors.ports import Executor
from services.runner.leases.service import LeaseLostError
from services.runner.runner import Runner, RunnerLimits
from services.runner.sources.jetstream import JetStreamSource
from services.session.app import serve as serve_sessions
from services.session.settings import SessionSettings
from tests.support.eventually import eventually

TENANT = "acme"


async def listens(port: int) -> bool:
    """Whether the address accepts connections."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


class Process:
    """A service or runner as a task."""

    def __init__(self, name: str, serve: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
        self._stop = asyncio.Event()
        self.task = asyncio.create_task(serve(self._stop), name=name)

    async def stop(self) -> None:
        """Stops it as SIGTERM does, and raises its failure."""
        self._stop.set()
        await asyncio.wait_for(self.task, 30)

    async def kill(self) -> None:
        """Cancels it at once."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@dataclass
class Suite:
    """The running suite."""

    database_url: str
    app_url: str
    nats_url: str
    key: str
    lease: float = 1.5
    session_addresses: list[str] = field(default_factory=list)
    command_addresses: list[str] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    clients: list[Stubs] = field(default_factory=list)
    runners: list[Runner] = field(default_factory=list)
    """Every incarnation of every runner, the latest last."""

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
        """Starts a runner with the test's executor, and waits until it is registered."""
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
            stores, source_of = stores_on(database, BusNotifier(Notifications(bus))), partial(JetStreamSource, bus)
            while not stop.is_set():
                self.runners.append(runner := Runner(stores, source_of, executor, limits))
                with contextlib.suppress(LeaseLostError):
                    await runner.run(stop)

    def _run(self, name: str, serve: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> Process:
        process = Process(name, serve)
        self.processes.append(process)
        return process

    async def _listens(self, process: Process, port: int) -> None:
        async def is_there() -> bool:
            if process.task.done():
                process.task.result()
            return await listens(port)

        await eventually(is_there)

    # clients

    def client(self, key: str | None = None, *, session: int = 0, command: int = 0) -> Stubs:
        """A client of one replica of each service, or only of the session service if there is no other."""
        commands = self.command_addresses or self.session_addresses
        made = Stubs(self.session_addresses[session], commands[command % len(commands)], key or self.key)
        self.clients.append(made)
        return made

    def new_key(self, role: str = "admin", tenant: str = TENANT) -> str:
        """Creates an API key, and its tenant if that is new."""
        with psycopg.connect(self.database_url) as connection:
            return create_key(connection, tenant, role).secret_text

    # the database

    async def rows(self, query: str, *parameters: Any) -> list[TupleRow]:
        """Runs a query as the database's owner."""
        async with await psycopg.AsyncConnection.connect(self.database_url, autocommit=True) as connection:
            cursor = await connection.execute(query.encode(), parameters or None)
            return await cursor.fetchall() if cursor.description else []

    async def value(self, query: str, *parameters: Any) -> Any:
        """The one value that a query returns."""
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
    """Runs the given number of replicas of the two services, and stops them at the end. Fails if one has failed."""
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
