"""The suite under test: real processes with separate engines, behind proxies if a run needs them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from libs.db.migrate import upgrade
from libs.embedded import (
    ChildSpec,
    NatsServer,
    PostgresServer,
    free_port,
)
from libs.identity.admin import create_key
from libs.rpc.stubs import Stubs
from services.cli.checks import grpc_serves, http_ok
from services.cli.defaults import LOOPBACK
from services.cli.home import Home
from services.cli.schema import schema_sources
from services.cli.up.embedded import Engines
from services.cli.up.processes import describe_services
from services.cli.up.settings import Addresses
from tests.chaos.disks import ENGINES, own_disk, own_image
from tests.chaos.journal import Journal
from tests.chaos.proxy import Link
from tests.chaos.tool_servers import http_tools, server_registry
from tests.support.engines import FAST, reachable_home
from tests.support.suite_process import SuiteProcess

TENANT = "acme"
LEASE = 2.0  # seconds
SETTINGS = {"CALLBOARD_LEASE": str(LEASE), "CALLBOARD_HEARTBEAT": "0.5", "CALLBOARD_DRAIN": "1.0"}
_PORTS = {"session": "CALLBOARD_SESSION_PORT", "command": "CALLBOARD_COMMAND_PORT", "gateway": "CALLBOARD_HTTP_PORT"}
_READY_SECONDS = 60.0
_SYNCED = {"fsync": "on", "full_page_writes": "on"}


@dataclass
class Rig:
    """The running suite, for faults and workloads. `out` is the folder for the histories, `parts` are the processes."""

    out: Path
    admin_url: str
    nats_url: str
    nats_store: Path
    key: str
    faults: Journal
    parts: dict[str, SuiteProcess] = field(default_factory=dict)
    links: dict[str, Link] = field(default_factory=dict)
    clients: list[Stubs] = field(default_factory=list)
    disks: dict[str, Path] = field(default_factory=dict)
    """The folders of engines that have separate small disks."""
    images: dict[str, Path] = field(default_factory=dict)
    """The files of engines that have separate disk images."""

    def named(self, kind: str) -> list[str]:
        """Return the names of the parts of a kind: session, command, runner, gateway, postgres, nats."""
        return [name for name in self.parts if name.partition("-")[0] == kind]

    def addresses(self, replica: int) -> tuple[str, str]:
        """Return the addresses of a session and a command service, through the client's links if there are any."""
        found = []
        for kind in ("session", "command"):
            name = f"{kind}-{1 + replica % len(self.named(kind))}"
            link = self.links.get(f"client>{name}")
            found.append(f"{LOOPBACK}:{link.port}" if link else self.parts[name].address)
        return found[0], found[1]

    def client(self, replica: int) -> Stubs:
        """Return a client of one replica of each service. It is closed at the end of the run."""
        made = Stubs(*self.addresses(replica), self.key)
        self.clients.append(made)
        return made

    async def heal(self) -> None:
        """Start every part again and calm every link, whatever was done to them."""
        for link in self.links.values():
            link.calm()
        for part in self.parts.values():
            part.resume()
        for name in ("postgres", "nats"):
            if not self.parts[name].is_running:
                await self.parts[name].start()
        await asyncio.gather(*(part.start() for part in self.parts.values() if not part.is_running))


@contextlib.asynccontextmanager
async def running_rig(
    out: Path,
    *,
    proxied: bool,
    environment: Mapping[str, str],
    disks: bool = False,
    images: bool = False,
    over_http: bool = False,
    runners: int = 2,
) -> AsyncIterator[Rig]:
    """Run two services of each kind, runners and a gateway, all ready. Nothing is left of them afterwards.

    `proxied` puts links between all processes. `disks` puts the engines on separate disks and `images` on disk images,
    if the machine allows it. `over_http` adds a tool server over HTTP.
    """
    with contextlib.ExitStack() as held:
        folder = held.enter_context(reachable_home())
        separate: dict[str, Path] = {}
        with contextlib.suppress(OSError):  # each fault that needs a disk then reports that there is none
            separate = {name: held.enter_context(own_disk(folder / name)) for name in ENGINES if disks}
        imaged: dict[str, Path] = {}
        with contextlib.suppress(OSError):
            imaged = {name: held.enter_context(own_image(folder / name)) for name in ENGINES if images}
        settings = FAST | _SYNCED if imaged else FAST
        postgres, nats = held.enter_context(PostgresServer(folder, settings)), held.enter_context(NatsServer(folder))
        rig = Rig(out, postgres.admin_url, nats.url, nats.store, "", Journal(out / "faults.jsonl"), disks=separate)
        rig.images = imaged
        try:
            await _start_engines(rig, postgres, nats)
            http = http_tools(out) if over_http else None
            if http is not None:
                rig.parts[http.name] = http
            home = _home(folder, http, out)
            engines = Engines(postgres.admin_url, postgres.app_url, nats.url)
            specs = _specs(engines, home, runners, {**SETTINGS, **environment})
            for spec in specs:
                rig.parts[spec.name] = await _part(rig, spec, engines, proxied=proxied)
            await asyncio.gather(*(part.start() for part in rig.parts.values() if not part.is_running))
            yield rig
        finally:
            await _clear(rig)


async def _start_engines(rig: Rig, postgres: PostgresServer, nats: NatsServer) -> None:
    await asyncio.to_thread(postgres.prepare)
    nats.prepare()
    for engine in (postgres, nats):
        rig.parts[engine.spec.name] = part = SuiteProcess(engine.spec, rig.out)
        await part.start()
    rig.key = await asyncio.to_thread(_provision, postgres)


async def _clear(rig: Rig) -> None:
    for client in rig.clients:
        await client.close()
    await asyncio.gather(*(part.clear() for part in reversed(rig.parts.values())))
    await asyncio.gather(*(link.close() for link in rig.links.values()))
    rig.faults.close()


def _home(folder: Path, http: SuiteProcess | None, out: Path) -> Home:
    home = Home(folder)
    home.make()
    home.servers.write_text(server_registry(out, http))
    return home


def _provision(postgres: PostgresServer) -> str:
    postgres.provision()
    upgrade(postgres.admin_url, schema_sources())
    with psycopg.connect(postgres.admin_url) as connection:
        return create_key(connection, TENANT, "admin").secret_text


def _specs(engines: Engines, home: Home, runners: int, settings: Mapping[str, str]) -> list[ChildSpec]:
    """Return the processes that `callboard up` describes, with two replicas of each service, and ports for all."""
    taken: set[int] = set()

    def port() -> int:
        taken.add(chosen := free_port(LOOPBACK, but_not=frozenset(taken)))
        return chosen

    described = describe_services(Addresses(LOOPBACK, port(), port(), port()), engines, home, runners).specs
    specs = []
    for spec in described:
        kind = spec.name.partition("-")[0]
        names = [f"{kind}-1", f"{kind}-2"] if kind in ("session", "command") else [spec.name]
        specs += [_described(spec, kind, name, settings, str(port()), str(port())) for name in names]
    return specs


def _described(
    spec: ChildSpec, kind: str, name: str, settings: Mapping[str, str], metrics: str, own_port: str
) -> ChildSpec:
    changed = {**spec.environment, **settings, "CALLBOARD_METRICS_PORT": metrics}
    ready = spec.ready
    if kind in ("session", "command"):
        variable = _PORTS[kind]
        changed[variable] = spec.environment[variable] if name.endswith("1") else own_port
        ready = partial(grpc_serves, f"{LOOPBACK}:{changed[variable]}")
    elif kind == "runner":
        changed["CALLBOARD_RUNNER_NAME"] = name
        ready = partial(http_ok, f"{LOOPBACK}:{metrics}", "/healthz")
    return replace(spec, name=name, environment=changed, ready=ready, ready_seconds=_READY_SECONDS)


async def _part(rig: Rig, spec: ChildSpec, engines: Engines, *, proxied: bool) -> SuiteProcess:
    """Return a process. When proxied, links are between it and the engines, and between clients and it."""
    kind, changed = spec.name.partition("-")[0], dict(spec.environment)
    address = f"{LOOPBACK}:{changed[_PORTS[kind]]}" if kind in _PORTS else ""
    if proxied and kind != "gateway":
        changed["DATABASE_URL"] = await _linked(rig, f"{spec.name}>postgres", engines.database_url)
        changed["NATS_URL"] = await _linked(rig, f"{spec.name}>nats", engines.nats_url)
        if address:
            await _linked(rig, f"client>{spec.name}", f"grpc://{address}")
    metrics = f"{LOOPBACK}:{changed['CALLBOARD_METRICS_PORT']}"
    return SuiteProcess(replace(spec, environment=changed), rig.out, address, metrics)


async def _linked(rig: Rig, name: str, url: str) -> str:
    split = urlsplit(url)
    assert split.hostname is not None
    assert split.port is not None
    link = rig.links[name] = Link(name, split.hostname, split.port)
    await link.open()
    return url.replace(f":{split.port}", f":{link.port}", 1)
