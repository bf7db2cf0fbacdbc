"""The suite for recordings: the real services, a runner and gateways in this process, with real engines.

Recordings use it only over sockets. Of the services, only the functions that start them are imported.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from libs.embedded import free_port
from libs.identity.admin import create_key
from services.command.app import serve as serve_commands
from services.command.settings import CommandSettings
from services.gateway.app import serve as serve_gateway
from services.gateway.settings import GatewaySettings
from services.runner.app import serve as serve_runner
from services.runner.settings import RunnerSettings
from services.session.app import serve as serve_sessions
from services.session.settings import SessionSettings
from tests.support.eventually import eventually
from tests.support.http_clients import http_client

_TRIAL = Path(__file__).parents[2] / "examples/trial_server/__main__.py"
_HOST = "127.0.0.1"
_SECONDS = 120  # a busy machine must not fail the test
ROLES = ("admin", "operator", "viewer")

Serve = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Suite:
    """The addresses of the running suite. `gateways` has one for each name that scripts use."""

    session: str
    command: str
    gateways: dict[str, str]
    database_url: str

    def keys(self, tenant: str) -> dict[str, str]:
        """Creates a key of each role in a new tenant."""
        with psycopg.connect(self.database_url) as connection:
            return {role: create_key(connection, tenant, role).secret_text for role in ROLES}


@contextlib.asynccontextmanager
async def running_suite(database_url: str, app_url: str, nats_url: str, folder: Path) -> AsyncIterator[Suite]:
    """Runs the suite on a migrated database, and stops it at the end. Fails if a process of it has failed."""
    session, command, nobody = free_port(), free_port(), free_port()
    known, held = _servers(folder)
    shared = {"DATABASE_URL": app_url, "NATS_URL": nats_url, "host": _HOST}
    async with _Processes() as processes:
        sessions = SessionSettings.model_validate({**shared, "session_port": session, "servers_file": known})
        processes.start("session", lambda stop: serve_sessions(sessions, stop))
        commands = CommandSettings.model_validate({**shared, "command_port": command})
        processes.start("command", lambda stop: serve_commands(commands, stop))
        gateways = {
            "": await processes.gateway(session, command),
            "narrow": await processes.gateway(session, command, most_streams=1),
            "alone": await processes.gateway(nobody, nobody),
        }
        await processes.until_ready(gateways[""])
        own = {"servers_file": held, "runner_name": "runner", "heartbeat": 0.5, "drain": 1.0}
        runner = RunnerSettings.model_validate({**shared, **own})
        processes.start("runner", lambda stop: serve_runner(runner, stop))
        yield Suite(f"{_HOST}:{session}", f"{_HOST}:{command}", gateways, database_url)


class _Processes:
    """Processes of the suite as tasks, stopped in reverse order."""

    def __init__(self) -> None:
        self._started: list[tuple[asyncio.Event, asyncio.Task[None]]] = []

    async def __aenter__(self) -> "_Processes":
        return self

    async def __aexit__(self, *_: object) -> None:
        for stop, task in reversed(self._started):
            stop.set()
            await asyncio.wait_for(task, _SECONDS)

    def start(self, name: str, serve: Serve) -> "asyncio.Task[None]":
        """Starts a process."""
        stop = asyncio.Event()
        task = asyncio.create_task(serve(stop), name=name)
        self._started.append((stop, task))
        return task

    async def gateway(self, session: int, command: int, **settings: Any) -> str:
        """Starts a gateway on a free port and returns its address."""
        address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        chosen = GatewaySettings.model_validate(
            {"http_port": 0, "session_address": f"{_HOST}:{session}", "command_address": f"{_HOST}:{command}"}
            | settings
        )
        task = self.start("gateway", lambda stop: serve_gateway(chosen, stop, on_ready=address.set_result))
        task.add_done_callback(lambda _: address.done() or address.cancel())
        await asyncio.wait({address})
        self._check()
        return f"http://{address.result()}"

    async def until_ready(self, gateway: str) -> None:
        """Waits until a gateway and both services report ready."""
        async with http_client(base_url=gateway, timeout=_SECONDS) as client:

            async def is_ready() -> bool:
                self._check()
                return (await client.get("/readyz")).status_code == 200

            await eventually(is_ready, _SECONDS)

    def _check(self) -> None:
        for _, task in self._started:
            if task.done():
                task.result()


def _servers(folder: Path) -> tuple[Path, Path]:
    """Writes two server registries: the runner's lacks a server of the session service's."""
    arguments = json.dumps([str(_TRIAL), "--state", str(folder / "state")])
    trial = f'[servers.trial]\ntransport = "stdio"\ncommand = {json.dumps(sys.executable)}\nargs = {arguments}\n'
    known, held = folder / "servers.toml", folder / "runner-servers.toml"
    known.write_text(f'{trial}[servers.gone]\ntransport = "stdio"\ncommand = "/gone"\n')
    held.write_text(trial)
    return known, held
