"""Runs the suite as `callboard up` does, in a temporary home, and the floors beside it."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from libs.embedded import (
    ChildSpec,
    Supervisor,
    free_port,
)
from libs.rpc.stubs import Stubs
from services.cli.checks import grpc_serves, http_ok
from services.cli.database import ensure_development_key, migrate
from services.cli.defaults import LOOPBACK
from services.cli.home import SOURCE_ROOT, Home
from services.cli.up.embedded import Engines, start_engines
from services.cli.up.processes import describe_services
from services.cli.up.settings import Addresses, UpSettings

PORTS = ("CALLBOARD_HTTP_PORT", "CALLBOARD_SESSION_PORT", "CALLBOARD_COMMAND_PORT")
_MAX_SUSPENSION = 3.0  # seconds; of the lease of 6, up to 2 may have passed
_SCHEMA = (
    "create schema bench",
    "create table bench.rows (tenant text, id uuid default gen_random_uuid(), body text not null,"
    " created_at timestamptz not null default now(), primary key (tenant, id))",
)


@dataclass(kw_only=True)
class Rig:
    """The suite for a figure: addresses, a client with an admin's key, and the processes."""

    engines: Engines
    addresses: Addresses
    key: str
    home: Home
    client: Stubs
    supervisor: Supervisor
    gateway_spec: ChildSpec
    quick: bool
    full: bool
    restarted: list[str]
    """The processes that ended and were restarted. There should be none."""
    _names: Iterator[int] = field(default_factory=lambda: iter(range(1, 1 << 30)))

    @property
    def rounds(self) -> int:
        """How often each side of a comparison is sampled."""
        return 3 if self.quick else 5

    @property
    def settle(self) -> float:
        """How many seconds to wait for work that the suite does after its last answer."""
        return 0.1 if self.quick else 0.25

    def size(self, quick: int, usual: int) -> int:
        """Return the size for the mode of the run."""
        return quick if self.quick else usual

    def name(self, kind: str) -> str:
        """Return an unused name."""
        return f"{kind}-{next(self._names)}"

    async def serve(self, module: str, ready: Callable[[str], Any], **environment: str) -> str:
        """Run a module of the benchmark as a process, and return its host:port."""
        address = f"{LOOPBACK}:{free_port(LOOPBACK, but_not=self.addresses.ports)}"
        shared = {"BENCH_ADDRESS": address, "DATABASE_URL": self.engines.admin_url, "NATS_URL": self.engines.nats_url}
        spec = ChildSpec(
            name=self.name(module.rpartition(".")[2]),
            argv=[sys.executable, "-m", module],
            environment={**os.environ, **shared, **environment},
            cwd=SOURCE_ROOT,
            ready=partial(ready, address),
        )
        await self.supervisor.start(spec)
        return address

    async def floor_server(self) -> str:
        """Start a bare gRPC server; return its host:port."""
        return await self.serve("bench.floors.server", grpc_serves)

    async def gateway(self) -> str:
        """Start the gateway unless it runs, and return its host:port. Raises ChildError if it does not start."""
        if self.gateway_spec.name not in self.supervisor.pids:
            await self.supervisor.start(self.gateway_spec)
        return self.addresses.gateway

    @contextmanager
    def runner_suspended(self) -> Iterator[None]:
        """Suspend the runner to measure submits alone, but not for longer than it keeps its lease."""
        runner = self.supervisor.pids["runner-1"]
        os.kill(runner, signal.SIGSTOP)
        late = asyncio.get_running_loop().call_later(_MAX_SUSPENSION, os.kill, runner, signal.SIGCONT)
        try:
            yield
        finally:
            late.cancel()
            os.kill(runner, signal.SIGCONT)

    def resident_bytes(self, process: str) -> int:
        """Return the resident anonymous memory of a process."""
        status = Path(f"/proc/{self.supervisor.pids[process]}/status").read_text(encoding="ascii")
        fields = dict(line.split(":", 1) for line in status.splitlines())
        return int(fields["RssAnon"].split()[0]) * 1024

    async def database(self) -> psycopg.AsyncConnection:
        """Connect to the database as its owner, with autocommit."""
        return await psycopg.AsyncConnection.connect(self.engines.admin_url, autocommit=True)


@asynccontextmanager
async def running_suite(*, quick: bool, full: bool) -> AsyncIterator[Rig]:
    """Run the engines, the services and one runner. Nothing is left of them afterwards."""
    folder = _make_folder()
    try:
        async with _suite_on(Home(folder), quick=quick, full=full) as rig:
            yield rig
    finally:
        _remove(folder)


@asynccontextmanager
async def _suite_on(home: Home, *, quick: bool, full: bool) -> AsyncIterator[Rig]:
    settings = UpSettings(
        home=home.path, host=LOOPBACK, ports=dict.fromkeys(PORTS, 0), runners=1, database_url=None, nats_url=None
    )  # fmt: skip
    home.make()
    home.write_servers()
    restarted: list[str] = []
    addresses = Addresses.claim(settings)
    with ExitStack() as held:
        async with Supervisor(home.logs, home.run, on_restart=lambda name, _pid: restarted.append(name)) as supervisor:
            engines = await start_engines(supervisor, settings, home, held)
            await asyncio.to_thread(migrate, engines.admin_url)
            await asyncio.to_thread(ensure_development_key, engines.admin_url, home.dev_key)
            *specs, gateway = describe_services(addresses, engines, home, 1).specs
            await supervisor.start(*specs)
            key = home.dev_key.read_text(encoding="utf-8").strip()
            async with Stubs(addresses.session, addresses.command, key) as client:
                rig = Rig(
                    engines=engines, addresses=addresses, key=key, home=home, client=client, supervisor=supervisor,
                    gateway_spec=gateway, quick=quick, full=full, restarted=restarted,
                )  # fmt: skip
                async with await rig.database() as connection:
                    for statement in _SCHEMA:
                        await connection.execute(statement.encode())
                yield rig


def _make_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="callboard-bench-"))
    # Under root, Postgres runs as `nobody`, which needs to reach its own folder.
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    return folder


def _remove(folder: Path) -> None:
    """Remove the home, and Postgres' data if they are outside it."""
    note = folder / "postgres" / "data-location.txt"
    if note.exists():
        shutil.rmtree(note.read_text(encoding="utf-8").splitlines()[0], ignore_errors=True)
    shutil.rmtree(folder)


http_ready = partial(http_ok, path="/ready")
