"""The composition root of the runner process."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

from libs.bus import Bus, Notifications
from libs.db import Database
from libs.notifications import BusNotifier
from libs.server_registry import ServerRegistryFile
from libs.telemetry.metrics import MetricsServer, new_registry
from libs.telemetry.readings import Readings
from libs.telemetry.tasks import TaskWatch
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

_SWEEP_INTERVAL = 60.0  # seconds


async def serve(settings: RunnerSettings, stop: asyncio.Event) -> None:
    """Run until `stop` is set, then close everything that was opened, in reverse order."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            Database.opened(
                settings.database_url.get_secret_value(), role="callboard_command", name="callboard-runner",
                size=settings.database_connections,
            )
        )  # fmt: skip
        bus = await stack.enter_async_context(Bus.opened(settings.nats_url.get_secret_value(), "callboard-runner"))
        mcp = McpExecutor(ServerRegistryFile(settings.servers_file))
        tasks = await stack.enter_async_context(TaskWatch())
        tasks.start("sweep", _sweep(mcp))
        executors = ExecutorRegistry({"mcp": mcp, "echo": EchoExecutor()})
        stores, source_of = stores_on(database, bus), partial(JetStreamSource, bus)
        limits = _limits(settings)
        incarnations = Incarnations(
            lambda: Runner(stores, source_of, executors, limits), pause=settings.heartbeat
        )  # fmt: skip
        registry = new_registry()
        incarnations.measure(Readings(registry))
        await stack.enter_async_context(
            MetricsServer(registry, incarnations.is_healthy, port=settings.metrics_port, host=settings.host)
        )
        await incarnations.run(stop)


def stores_on(database: Database, bus: Bus) -> RunnerStores:
    """Return the stores of a runner. They send notifications over the bus."""
    notifier = BusNotifier(Notifications(bus))
    return RunnerStores(
        PostgresLeases(database), PostgresConnections(database, notifier), PostgresAttempts(database, notifier)
    )


def _limits(settings: RunnerSettings) -> RunnerLimits:
    return RunnerLimits(
        settings.runner_name, settings.runner_slots, settings.runner_connections, settings.lease, settings.heartbeat,
        settings.drain,
    )  # fmt: skip


async def _sweep(mcp: McpExecutor) -> None:
    """Kill the agent processes that dead runners left behind: at the start, then once a minute."""
    while True:
        await mcp.sweep()
        await asyncio.sleep(_SWEEP_INTERVAL)
