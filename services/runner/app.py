"""A runner's process, put together."""

import asyncio
from contextlib import AsyncExitStack

import structlog

from libs.bus import Bus, Notifications
from libs.db import Database
from libs.errors import ServiceError
from libs.notifications import BusNotifier
from libs.server_registry import ServerRegistryFile
from libs.telemetry.metrics import MetricsServer, new_registry
from libs.telemetry.readings import Readings
from libs.telemetry.tasks import TaskWatch
from services.runner.attempts.store import PostgresWork
from services.runner.executors.echo import EchoExecutor
from services.runner.executors.mcp import McpExecutor
from services.runner.executors.registry import ExecutorRegistry
from services.runner.runner import (
    LeaseLostError,
    Runner,
    RunnerLimits,
)
from services.runner.settings import RunnerSettings

_log = structlog.get_logger(__name__)
_SWEEP_EVERY = 60.0


async def _sweep(mcp: McpExecutor) -> None:
    """End what runners that died left behind, at the start and once a minute."""
    while True:
        await mcp.sweep()
        await asyncio.sleep(_SWEEP_EVERY)


async def serve(settings: RunnerSettings, stop: asyncio.Event) -> None:
    """Run until `stop` is set; an incarnation that loses its lease is followed by the next, under another id."""
    async with AsyncExitStack() as stack:
        database = Database.of(
            settings.database_url.get_secret_value(), role="callboard_command", name="callboard-runner",
            size=settings.database_connections,
        )  # fmt: skip
        await database.open()
        stack.push_async_callback(database.close)
        bus = await Bus.connect(settings.nats_url.get_secret_value(), "callboard-runner")
        stack.push_async_callback(bus.close)
        work = PostgresWork(database, BusNotifier(Notifications(bus)))
        mcp = McpExecutor(ServerRegistryFile(settings.servers_file))
        tasks = await stack.enter_async_context(TaskWatch())
        tasks.start("sweep", _sweep(mcp))
        executors = ExecutorRegistry(
            {"mcp": mcp, "echo": EchoExecutor()}
        )  # fmt: skip
        limits = RunnerLimits(
            settings.runner_name, settings.runner_slots, settings.runner_connections, settings.lease,
            settings.heartbeat, settings.drain,
        )  # fmt: skip
        current: list[Runner] = []
        registry = new_registry()
        readings = Readings(registry)
        readings.counter(
            "callboard_attempts", "Attempts that ended", "outcome", lambda: current[-1].ended if current else {}
        )
        readings.gauge("callboard_runner_load", "What is held now", "kind", lambda: current[-1].load if current else {})
        await stack.enter_async_context(
            MetricsServer(
                registry, lambda: bool(current and current[-1].healthy), port=settings.metrics_port,
                host=settings.host,
            )
        )  # fmt: skip
        while not stop.is_set():
            runner = Runner(bus, work, executors, limits)
            current[:] = [runner]
            try:
                await runner.run(stop)
            except LeaseLostError as error:
                _log.warning("runner_begins_again", reason=str(error))
            except ServiceError as refusal:
                _log.warning("runner_cannot_register", reason=refusal.reason)
                await asyncio.sleep(settings.heartbeat)
