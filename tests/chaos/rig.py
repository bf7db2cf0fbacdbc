"""The suite under test: real processes on engines of their own, behind proxies where a run needs them."""

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
from services.cli.embedded import Engines
from services.cli.home import Home
from services.cli.processes import describe_services
from services.cli.schema import schema_sources
from services.cli.settings import LOOPBACK, Addresses
from tests.chaos.disks import ENGINES, own_disk, own_image
from tests.chaos.journal import Journal
from tests.chaos.proxy import Transport
from tests.chaos.tool_servers import http_tools, server_registry
from tests.support.engines import FAST, reachable_home
from tests.support.part import Part

TENANT = "acme"
LEASE = 2.0  # seconds
SETTINGS = {"CALLBOARD_LEASE": str(LEASE), "CALLBOARD_HEARTBEAT": "0.5", "CALLBOARD_DRAIN": "1.0"}
_PORTS = {"session": "CALLBOARD_SESSION_PORT", "command": "CALLBOARD_COMMAND_PORT", "gateway": "CALLBOARD_HTTP_PORT"}
_READY_SECONDS = 60.0
_SYNCED = {"fsync": "on", "full_page_writes": "on"}


@dataclass
class Rig:
    """What faults and workloads need of the running suite. `out` gets the histories; `parts` are all, by name."""

    out: Path
    admin_url: str
    nats_url: str
    nats_store: Path
    key: str
    faults: Journal
    parts: dict[str, Part] = field(default_factory=dict)
    links: dict[str, Transport] = field(default_factory=dict)
    clients: list[Stubs] = field(default_factory=list)
    disks: dict[str, Path] = field(default_factory=dict)
    """The folders of engines that stand on small disks of their own."""
    images: dict[str, Path] = field(default_factory=dict)
    """The files of engines that stand on disk images of their own."""

    def named(self, kind: str) -> list[str]:
        """The names of the parts of a kind: session, command, runner, gateway, postgres, nats."""
        return [name for name in self.parts if name.partition("-")[0] == kind]

    def addresses(self, replica: int) -> tuple[str, str]:
        """Where a client finds the session and the command service; through the client's links when there are any."""
        found = []
        for kind in ("session", "command"):
            name = f"{kind}-{1 + replica % len(self.named(kind))}"
            link = self.links.get(f"client>{name}")
            found.append(f"{LOOPBACK}:{link.port}" if link else self.parts[name].address)
        return found[0], found[1]

    def client(self, replica: int) -> Stubs:
        """A client of one replica of each service, closed at the end of the run."""
        made = Stubs(*self.addresses(replica), self.key)
        self.clients.append(made)
        return made

    async def heal(self) -> None:
        """Has every part run and every link calm again, whatever was done to them."""
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
    """Two services of each kind, runners and a gateway, all ready; nothing is left of them afterwards.

    `proxied` puts links between all; `disks` puts the engines on disks of their own, `images` on disk images, where the
    machine lets us; `over_http` adds a tool server over HTTP.
    """
    with contextlib.ExitStack() as held:
        folder = held.enter_context(reachable_home())
        standing: dict[str, Path] = {}
        with contextlib.suppress(OSError):  # then each fault that needs one says that there is none
            standing = {name: held.enter_context(own_disk(folder / name)) for name in ENGINES if disks}
        imaged: dict[str, Path] = {}
        with contextlib.suppress(OSError):
            imaged = {name: held.enter_context(own_image(folder / name)) for name in ENGINES if images}
        settings = FAST | _SYNCED if imaged else FAST
        postgres, nats = held.enter_context(PostgresServer(folder, settings)), held.enter_context(NatsServer(folder))
        rig = Rig(out, postgres.admin_url, nats.url, nats.store, "", Journal(out / "faults.jsonl"), disks=standing)
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
        rig.parts[engine.spec.name] = part = Part(engine.spec, rig.out)
        await part.start()
    rig.key = await asyncio.to_thread(_furnish, postgres)


async def _clear(rig: Rig) -> None:
    for client in rig.clients:
        await client.close()
    await asyncio.gather(*(part.clear() for part in reversed(rig.parts.values())))
    await asyncio.gather(*(link.close() for link in rig.links.values()))
    rig.faults.close()


def _home(folder: Path, http: Part | None, out: Path) -> Home:
    home = Home(folder)
    home.make()
    home.servers.write_text(server_registry(out, http))
    return home


def _furnish(postgres: PostgresServer) -> str:
    postgres.provision()
    upgrade(postgres.admin_url, schema_sources())
    with psycopg.connect(postgres.admin_url) as connection:
        return create_key(connection, TENANT, "admin").secret_text


def _specs(engines: Engines, home: Home, runners: int, settings: Mapping[str, str]) -> list[ChildSpec]:
    """The processes as `callboard up` describes them, with two replicas of each service, and ports for all."""
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


async def _part(rig: Rig, spec: ChildSpec, engines: Engines, *, proxied: bool) -> Part:
    """A process; when proxied, between it and the engines, and between clients and it, stand links."""
    kind, changed = spec.name.partition("-")[0], dict(spec.environment)
    address = f"{LOOPBACK}:{changed[_PORTS[kind]]}" if kind in _PORTS else ""
    if proxied and kind != "gateway":
        changed["DATABASE_URL"] = await _linked(rig, f"{spec.name}>postgres", engines.database_url)
        changed["NATS_URL"] = await _linked(rig, f"{spec.name}>nats", engines.nats_url)
        if address:
            await _linked(rig, f"client>{spec.name}", f"grpc://{address}")
    metrics = f"{LOOPBACK}:{changed['CALLBOARD_METRICS_PORT']}"
    return Part(replace(spec, environment=changed), rig.out, address, metrics)


async def _linked(rig: Rig, name: str, url: str) -> str:
    split = urlsplit(url)
    assert split.hostname is not None
    assert split.port is not None
    link = rig.links[name] = Transport(name, split.hostname, split.port)
    await link.open()
    return url.replace(f":{split.port}", f":{link.port}", 1)
