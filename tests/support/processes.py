"""The suite as real processes that a test starts, kills, pauses and starts again, each by its name.

Command lines and environments are those of `callboard up` (`services.cli.processes`); nothing restarts by itself.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import httpx2
import psycopg
from psycopg.rows import TupleRow

from callboard.aio import Client
from callboard.events.v1.events_pb2 import Event, StreamEventsRequest, StreamEventsResponse, StreamStart
from callboard.health.v1 import health_pb2, health_pb2_grpc
from libs.engines import ChildSpec, NatsServer, PostgresServer, free_port
from libs.engines.child import Child
from libs.engines.leftovers import process_started
from libs.identity.admin import create_key
from services.cli.checks import grpc_serves, http_ok
from services.cli.engines import Engines
from services.cli.home import Home
from services.cli.processes import describe_services
from services.cli.settings import LOOPBACK, Addresses
from tests.support.engines import FAST, reachable_home
from tests.support.eventually import eventually

TENANT = "acme"
TRIAL = Path(__file__).parents[2] / "examples/trial_server/__main__.py"
LEASE, HEARTBEAT, DRAIN = 2.0, 0.4, 1.0  # seconds


class Part:
    """One named process; started again, it has the same command line, environment and ports."""

    def __init__(self, spec: ChildSpec, folder: Path, address: str = "", metrics: str = "") -> None:
        self.name = spec.name
        self.address = address
        self.metrics = metrics
        self._spec = spec
        self._folder = folder
        self._child: Child | None = None
        self._paused = False

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._child is not None, f"{self.name} was not started"
        return self._child.pid

    @property
    def log(self) -> Path:
        """All that it wrote, of all its lives."""
        return self._folder / f"{self.name}.log"

    async def start(self, **changes: str) -> None:
        """Starts it, with these changes to its environment for good, and waits until it is ready."""
        self._spec = replace(self._spec, environment={**self._spec.environment, **changes})
        self._child = await Child.start(self._spec, self._folder, self._folder)
        assert await self._child.until_ready(), f"{self.name} did not get ready:\n{self.log.read_text()[-4000:]}"

    async def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Ends it on the spot: this process alone, not those that it started."""
        assert self._child is not None
        os.kill(self._child.pid, number)
        await asyncio.wait_for(self._child.wait(), 20)
        self._child.kill()  # what is left of its group, and its record

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal, and waits for nothing."""
        os.kill(self.pid, number)

    def pause(self) -> None:
        """Stops it where it stands, until `resume`."""
        self._paused = True
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on; does nothing to one that is not paused."""
        if self._paused and self.is_running:
            self.send(signal.SIGCONT)
        self._paused = False

    async def end(self, seconds: float = 20.0) -> int:
        """Ends it in order, by SIGTERM, and returns its exit code; fails when it takes longer."""
        assert self._child is not None
        self.send(signal.SIGTERM)
        code = await asyncio.wait_for(self._child.wait(), seconds)
        self._child.kill()
        return code

    async def clear(self) -> None:
        """Leaves nothing of it; without any order, since its data goes too."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            await asyncio.wait_for(child.wait(), 20)

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self._child is not None and self._child.exit_code is None


@dataclass
class Suite:
    """What a test needs of the running suite."""

    folder: Path
    database_url: str
    key: str
    postgres: Part
    nats: Part
    nats_store: Path
    sessions: list[Part]
    commands: list[Part]
    runners: list[Part]
    gateway: Part
    effects: Path
    clients: list[Client] = field(default_factory=list)
    https: list[httpx2.AsyncClient] = field(default_factory=list)

    @property
    def services(self) -> list[Part]:
        """All processes but the engines."""
        return [*self.sessions, *self.commands, *self.runners, self.gateway]

    @property
    def parts(self) -> list[Part]:
        """All processes, in the order of their start."""
        return [self.postgres, self.nats, *self.services]

    async def heal(self) -> None:
        """Has everything run again, whatever a test before has done to it or left undone."""
        for part in self.parts:
            part.resume()
        for engine in (self.postgres, self.nats):
            if not engine.is_running:
                await engine.start()
        await asyncio.gather(*(part.start() for part in self.services if not part.is_running))

    def client(self, key: str | None = None, *, session: int = 0, command: int = 0) -> Client:
        """A client of one replica of each service."""
        made = Client(self.sessions[session].address, self.commands[command].address, key or self.key)
        self.clients.append(made)
        return made

    def http(self, key: str | None = None) -> httpx2.AsyncClient:
        """A client of the gateway."""
        made = http_client(f"http://{self.gateway.address}", key or self.key)
        self.https.append(made)
        return made

    def new_key(self, role: str = "admin", tenant: str = TENANT) -> str:
        """Makes a key, and its tenant when that is new."""
        with psycopg.connect(self.database_url) as connection:
            return create_key(connection, tenant, role).secret_text

    async def rows(self, query: str, *parameters: Any) -> list[TupleRow]:
        """Asks the database as its owner."""
        async with await psycopg.AsyncConnection.connect(self.database_url, autocommit=True) as connection:
            cursor = await connection.execute(query.encode(), parameters or None)
            return await cursor.fetchall() if cursor.description else []

    async def until(self, query: str, *parameters: Any, seconds: float = 20.0) -> None:
        """Waits until a query of one value answers true."""

        async def is_true() -> bool:
            return bool((await self.rows(query, *parameters))[0][0])

        await eventually(is_true, seconds)

    async def close(self) -> None:
        """Closes all clients."""
        for client in self.clients:
            await client.close()
        for http in self.https:
            await http.aclose()
        self.clients, self.https = [], []

    async def runner_of(self, command_id: str) -> Part:
        """The runner that runs this command now."""
        return await self._runner(
            "select r.name from command.commands c join command.runners r using (runner_id) "
            "where c.command_id = %s and c.state = 'running'",
            command_id,
        )

    async def runner_of_session(self, session_id: str) -> Part:
        """The runner that holds the session's connection."""
        return await self._runner(
            "select r.name from command.connections n join command.runners r using (runner_id) "
            "where n.session_id = %s and n.state = 'connected'",
            session_id,
        )

    async def _runner(self, query: str, parameter: str) -> Part:
        async def name() -> str:
            rows = await self.rows(query, parameter)
            return str(rows[0][0]) if rows else ""

        found = await eventually(name, 20)
        return next(part for part in self.runners if part.name == found)

    def other_runner(self, than: Part) -> Part:
        """A runner that is not this one."""
        return next(part for part in self.runners if part is not than)

    def tool_pids(self) -> dict[str, set[int]]:
        """The processes in which the trial server ran each command, by command id."""
        pids: dict[str, set[int]] = {}
        for effect in self.effect_lines():
            pids.setdefault(str(effect["commandId"]), set()).add(int(effect["pid"]))
        return pids

    def effect_lines(self) -> list[dict[str, Any]]:
        """What the trial servers really did."""
        if not self.effects.exists():
            return []
        return [json.loads(line) for line in self.effects.read_text().splitlines()]


def http_client(url: str, key: str) -> httpx2.AsyncClient:
    """A client of a gateway, with a key."""
    headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}
    return httpx2.AsyncClient(base_url=url, headers=headers, timeout=20)


def _describe(
    folder: Path, engines: Engines, *, sessions: int, commands: int, runners: int, settings: Mapping[str, str]
) -> tuple[list[Part], list[Part], list[Part], Part]:
    home = Home(folder)
    taken: set[int] = set()

    def port() -> int:
        taken.add(chosen := free_port(LOOPBACK, but_not=frozenset(taken)))
        return chosen

    addresses = Addresses(LOOPBACK, port(), port(), port())
    described = describe_services(addresses, engines, home, runners)
    specs = {spec.name: replace(spec, environment={**spec.environment, **settings}) for spec in described.specs}

    def replica(name: str, number: int) -> Part:
        spec, variable = specs[name], f"CALLBOARD_{name.upper()}_PORT"
        chosen = spec.environment[variable] if number == 1 else str(port())
        metrics = str(port())
        address = f"{LOOPBACK}:{chosen}"
        changed = {**spec.environment, variable: chosen, "CALLBOARD_METRICS_PORT": metrics}
        spec = replace(spec, name=f"{name}-{number}", environment=changed, ready=partial(grpc_serves, address))
        return Part(spec, home.logs, address, f"{LOOPBACK}:{metrics}")

    def runner(number: int) -> Part:
        name = f"runner-{number}"
        metrics = str(port())
        changed = {
            **specs[name].environment, "CALLBOARD_METRICS_PORT": metrics, "CALLBOARD_RUNNER_NAME": name
        }  # fmt: skip
        healthy = partial(http_ok, f"{LOOPBACK}:{metrics}", "/healthz")
        spec = replace(specs[name], environment=changed, ready=healthy)
        return Part(spec, home.logs, metrics=f"{LOOPBACK}:{metrics}")

    return (
        [replica("session", number) for number in range(1, sessions + 1)],
        [replica("command", number) for number in range(1, commands + 1)],
        [runner(number) for number in range(1, runners + 1)],
        Part(specs["gateway"], home.logs, addresses.gateway),
    )


@contextlib.asynccontextmanager
async def running_suite(
    *, sessions: int = 1, commands: int = 1, runners: int = 1, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Suite]:
    """So many processes of each kind, on engines of their own, all ready; nothing is left of them afterwards."""
    with reachable_home() as folder, PostgresServer(folder, FAST) as postgres, NatsServer(folder) as nats:
        home = Home(folder)
        home.make()
        effects = folder / "effects.jsonl"
        home.servers.write_text(_catalogue(folder, effects))
        await asyncio.to_thread(postgres.prepare)
        nats.prepare()
        database, broker = Part(postgres.spec, home.logs), Part(nats.spec, home.logs)
        suite = None
        try:
            await asyncio.gather(database.start(), broker.start())
            key = await asyncio.to_thread(_furnish, postgres)
            engines = Engines(postgres.admin_url, postgres.app_url, nats.url)
            chosen = {
                "CALLBOARD_LEASE": str(LEASE), "CALLBOARD_HEARTBEAT": str(HEARTBEAT), "CALLBOARD_DRAIN": str(DRAIN),
                **(settings or {}),
            }  # fmt: skip
            described = _describe(
                folder, engines, sessions=sessions, commands=commands, runners=runners, settings=chosen
            )  # fmt: skip
            suite = Suite(folder, postgres.admin_url, key, database, broker, nats.store, *described, effects)
            await asyncio.gather(*(part.start() for part in suite.services))
            yield suite
        finally:
            if suite is not None:
                await suite.close()
                await asyncio.gather(*(part.clear() for part in suite.services))
            await asyncio.gather(database.clear(), broker.clear())


def _furnish(postgres: PostgresServer) -> str:
    from libs.db.migrate import upgrade

    postgres.furnish()
    upgrade(postgres.admin_url)
    with psycopg.connect(postgres.admin_url) as connection:
        return create_key(connection, TENANT, "admin").secret_text


def _catalogue(folder: Path, effects: Path) -> str:
    python = json.dumps(sys.executable)
    arguments = json.dumps([str(TRIAL), "--state", str(folder / "state"), "--effects", str(effects)])
    return (
        f'[servers.time]\ntransport = "stdio"\ncommand = {python}\n'
        'args = ["-m", "mcp_server_time", "--local-timezone=UTC"]\n'
        f'[servers.trial]\ntransport = "stdio"\ncommand = {python}\nargs = {arguments}\n'
    )


# what tests ask


def runs(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    return process_started(pid) is not None


async def readiness(address: str) -> health_pb2.Readiness.ValueType:
    """What GetReadiness says, NOT_READY when nobody answers."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.ReadinessServiceStub(channel)
        try:
            return (await stub.GetReadiness(health_pb2.GetReadinessRequest(), timeout=5)).readiness
        except grpc.aio.AioRpcError:
            return health_pb2.READINESS_NOT_READY


async def becomes(address: str, wanted: health_pb2.Readiness.ValueType, seconds: float = 15.0) -> None:
    """Waits until GetReadiness says so."""

    async def is_so() -> bool:
        return await readiness(address) == wanted

    await eventually(is_so, seconds)


async def timed(work: Awaitable[Any]) -> tuple[Any, float]:
    """The result of some work, and the seconds that it took."""
    began = time.monotonic()
    return await work, time.monotonic() - began


class Collector:
    """Receives a stream of events and keeps what came, across any number of connections."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.cursor = ""
        self.ended = False
        self.connections = 0

    @property
    def seqs(self) -> list[int]:
        """The sequence numbers, in the order in which they came."""
        return [event.seq for event in self.events]

    async def receive(
        self, client: Client, most: int | None = None, *, seconds: float = 20.0,
        start: StreamStart.ValueType = StreamStart.STREAM_START_UNSPECIFIED,
        session_id: str | None = None, agent_id: str | None = None,
    ) -> None:  # fmt: skip
        """Connects with the cursor and takes events until `most` have come, or the stream has ended."""
        self.connections += 1
        wanted = None if most is None else len(self.events) + most
        request = StreamEventsRequest(cursor=self.cursor, start=start)
        if session_id is not None:
            request.session_id = session_id
        if agent_id is not None:
            request.agent_id = agent_id
        call = client.events.StreamEvents(request)
        try:
            async with asyncio.timeout(seconds):
                if most == 0:
                    await call.initial_metadata()
                    return
                async for response in call:
                    if self._take(response, wanted):
                        return
        finally:
            call.cancel()

    def _take(self, response: StreamEventsResponse, wanted: int | None) -> bool:
        for streamed in response.batch.events:
            self.events.append(streamed.event)
            self.cursor = streamed.cursor
            if wanted is not None and len(self.events) >= wanted:
                return True  # in the middle of a batch, too: that is where connections break
        self.cursor = response.cursor or self.cursor
        self.ended = response.HasField("end")
        return self.ended


@dataclass(frozen=True)
class Frame:
    """One Server-Sent Event."""

    id: str
    event: str
    data: dict[str, Any]


async def frames_of(answer: httpx2.Response) -> AsyncIterator[Frame]:
    """The events of an SSE answer, comments and bookmarks left out."""
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        else:
            if "data" in fields:
                yield Frame(fields.get("id", ""), fields.get("event", ""), json.loads(fields["data"]))
            fields = {}


async def all_at_once(count: int, work: Callable[[int], Awaitable[Any]]) -> list[Any]:
    """Does some work so many times at once; refusals are among the outcomes."""
    return await asyncio.gather(*(work(number) for number in range(count)), return_exceptions=True)


def logs_of(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """Every line of these parts' logs; fails for one that is no JSON object."""
    lines = [line for part in parts for line in part.log.read_text().splitlines()]
    read = [json.loads(line) for line in lines]
    assert all(isinstance(line, dict) for line in read)
    return read


def logged(parts: Sequence[Part], event: str) -> list[dict[str, Any]]:
    """The lines of these parts' logs that tell of this."""
    return [line for line in logs_of(parts) if line["event"] == event]
