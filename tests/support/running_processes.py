"""Starts the suite as real processes, with its own engines.

Command lines and environments are those of `callboard up` (`services.cli.up.processes`).
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import psycopg

from libs.embedded import (
    NatsServer,
    PostgresServer,
    free_port,
)
from libs.identity.admin import create_key
from services.cli.checks import grpc_serves, http_ok
from services.cli.defaults import LOOPBACK
from services.cli.home import Home
from services.cli.up.embedded import Engines
from services.cli.up.processes import describe_services
from services.cli.up.settings import Addresses
from tests.support.engines import FAST, reachable_home
from tests.support.processes import TENANT, Suite
from tests.support.suite_process import SuiteProcess

TRIAL = Path(__file__).parents[2] / "examples/trial_server/__main__.py"
LEASE, HEARTBEAT, DRAIN = 2.0, 0.4, 1.0  # seconds


@contextlib.asynccontextmanager
async def running_suite(
    *, sessions: int = 1, commands: int = 1, runners: int = 1, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Suite]:
    """Runs the given number of processes of each kind with their own engines, and removes them at the end."""
    with reachable_home() as folder, PostgresServer(folder, FAST) as postgres, NatsServer(folder) as nats:
        home = Home(folder)
        home.make()
        effects = folder / "effects.jsonl"
        home.servers.write_text(_server_registry(folder, effects))
        await asyncio.to_thread(postgres.prepare)
        nats.prepare()
        database, broker = SuiteProcess(postgres.spec, home.logs), SuiteProcess(nats.spec, home.logs)
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
    from services.cli.schema import schema_sources

    postgres.provision()
    upgrade(postgres.admin_url, schema_sources())
    with psycopg.connect(postgres.admin_url) as connection:
        return create_key(connection, TENANT, "admin").secret_text


def _server_registry(folder: Path, effects: Path) -> str:
    python = json.dumps(sys.executable)
    arguments = json.dumps([str(TRIAL), "--state", str(folder / "state"), "--effects", str(effects)])
    return (
        f'[servers.time]\ntransport = "stdio"\ncommand = {python}\n'
        'args = ["-m", "mcp_server_time", "--local-timezone=UTC"]\n'
        f'[servers.trial]\ntransport = "stdio"\ncommand = {python}\nargs = {arguments}\n'
    )


def _describe(
    folder: Path, engines: Engines, *, sessions: int, commands: int, runners: int, settings: Mapping[str, str]
) -> tuple[list[SuiteProcess], list[SuiteProcess], list[SuiteProcess], SuiteProcess]:
    home = Home(folder)
    taken: set[int] = set()

    def port() -> int:
        taken.add(chosen := free_port(LOOPBACK, but_not=frozenset(taken)))
        return chosen

    addresses = Addresses(LOOPBACK, port(), port(), port())
    described = describe_services(addresses, engines, home, runners)
    specs = {spec.name: replace(spec, environment={**spec.environment, **settings}) for spec in described.specs}

    def replica(name: str, number: int) -> SuiteProcess:
        spec, variable = specs[name], f"CALLBOARD_{name.upper()}_PORT"
        chosen = spec.environment[variable] if number == 1 else str(port())
        metrics = str(port())
        address = f"{LOOPBACK}:{chosen}"
        changed = {**spec.environment, variable: chosen, "CALLBOARD_METRICS_PORT": metrics}
        spec = replace(spec, name=f"{name}-{number}", environment=changed, ready=partial(grpc_serves, address))
        return SuiteProcess(spec, home.logs, address, f"{LOOPBACK}:{metrics}")

    def runner(number: int) -> SuiteProcess:
        name = f"runner-{number}"
        metrics = str(port())
        changed = {
            **specs[name].environment, "CALLBOARD_METRICS_PORT": metrics, "CALLBOARD_RUNNER_NAME": name
        }  # fmt: skip
        healthy = partial(http_ok, f"{LOOPBACK}:{metrics}", "/healthz")
        spec = replace(specs[name], environment=changed, ready=healthy)
        return SuiteProcess(spec, home.logs, metrics=f"{LOOPBACK}:{metrics}")

    return (
        [replica("session", number) for number in range(1, sessions + 1)],
        [replica("command", number) for number in range(1, commands + 1)],
        [runner(number) for number in range(1, runners + 1)],
        SuiteProcess(specs["gateway"], home.logs, addresses.gateway),
    )
