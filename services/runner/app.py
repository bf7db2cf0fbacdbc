"""The composition root of the runner."""

import asyncio
from functools import partial

from libs.db import Database
from libs.notifications import Notifier
from libs.runtime.runtime import Runtime
from libs.server_registry import ServerRegistryFile
from services.runner.attempts.store import PostgresAttempts
from services.runner.connections.store import PostgresConnections
from services.runner.executors.echo import EchoExecutor
from services.runner.executors.mcp import McpExecutor
from services.runner.executors.registry import ExecutorRegistry
from services.runner.incarnations import Incarnations
from services.runner.leases.store import PostgresLeases
from services.runner.runner import Runner, RunnerLimits, RunnerStores
from services.runner.settings import RunnerSettings
from services.runner.sources.jetstream import JetStreamSource


async def serve(settings: RunnerSettings, stop: asyncio.Event) -> None:
    """Run until `stop` is set. Then close everything in reverse order of opening."""
    limits = RunnerLimits(
        settings.runner_name, settings.runner_slots, settings.runner_connections, settings.lease, settings.heartbeat,
        settings.drain,
    )  # fmt: skip
    async with Runtime.opened(settings, name="callboard-runner", role="callboard_command") as runtime:
        mcp = McpExecutor(ServerRegistryFile(settings.servers_file))
        runtime.tasks.start("sweep", mcp.keep_swept())
        executors = ExecutorRegistry({"mcp": mcp, "echo": EchoExecutor()})
        stores, source_of = stores_on(runtime.database, runtime.notifier), partial(JetStreamSource, runtime.bus)
        incarnations = Incarnations(
            lambda: Runner(stores, source_of, executors, limits), pause=settings.heartbeat
        )  # fmt: skip
        incarnations.measure(runtime.readings)
        await runtime.expose_metrics(incarnations.is_healthy)
        await incarnations.run(stop)


def stores_on(database: Database, notifier: Notifier) -> RunnerStores:
    """Return the stores of a runner."""
    return RunnerStores(
        PostgresLeases(database), PostgresConnections(database, notifier), PostgresAttempts(database, notifier)
    )
