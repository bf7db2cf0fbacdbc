"""The composition root of the command service."""

import asyncio
from contextlib import AsyncExitStack

import structlog

from callboard.commands.v1 import commands_pb2_grpc
from libs.attempts import PostgresFinishes
from libs.bus import Bus, Notifications
from libs.db import Database
from libs.idempotency import PostgresKeys
from libs.identity.authenticator import Authenticator
from libs.identity.postgres import key_lookup
from libs.notifications import COMMANDS_WAITING, BusNotifier
from libs.readiness import shared_services
from libs.rpc import RpcServer, Service
from libs.telemetry.metrics import MetricsServer, new_registry
from libs.telemetry.readings import Readings
from libs.telemetry.tasks import TaskWatch
from services.command.commands.cancels import Cancels
from services.command.commands.handler import CommandServicer
from services.command.commands.service import Commands
from services.command.commands.store import PostgresCommands
from services.command.dead_letters.batches import DeadLetterBatches
from services.command.dead_letters.handler import DeadLetterServicer
from services.command.dead_letters.service import DeadLetters
from services.command.dead_letters.store import PostgresDeadLetters
from services.command.dispatch.advisories import Advisories
from services.command.dispatch.broker import JetStreamBroker
from services.command.dispatch.durability import check_writes_through
from services.command.dispatch.reconciler import Reconciler
from services.command.dispatch.service import Dispatcher
from services.command.dispatch.snapshots import Snapshots
from services.command.dispatch.store import PostgresDelivery
from services.command.settings import CommandSettings

_log = structlog.get_logger(__name__)


async def serve(settings: CommandSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set. Then close everything in reverse order of opening."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            Database.opened(
                settings.database_url.get_secret_value(), role="callboard_command", name="callboard-command",
                size=settings.database_connections,
            )
        )  # fmt: skip
        bus = await stack.enter_async_context(Bus.opened(settings.nats_url.get_secret_value(), "callboard-command"))
        if settings.nats_monitor_url:
            await check_writes_through(settings.nats_monitor_url)
        notifications, registry = Notifications(bus), new_registry()
        notifier = BusNotifier(notifications)
        tasks = await stack.enter_async_context(TaskWatch())

        broker = JetStreamBroker(bus)
        delivery = PostgresDelivery(database, notifier, PostgresFinishes(database, notifier))
        dispatcher, snapshots = Dispatcher(delivery, broker), Snapshots(delivery)
        _measure(Readings(registry), dispatcher, snapshots)
        services = [
            *shared_services(database.is_up, lambda: bus.connected and broker.stores),
            *_services(database, PostgresCommands(database, notifier, dispatcher)),
        ]
        server = await stack.enter_async_context(
            RpcServer(
                settings.host, settings.command_port, services,
                authenticator=Authenticator(key_lookup(database.pool)), tasks=tasks, registry=registry,
            )
        )  # fmt: skip
        waiting = await notifications.subscribe(COMMANDS_WAITING, lambda *_: dispatcher.wake())
        stack.callback(waiting.unsubscribe)
        dispatcher.start(tasks)
        Advisories(bus, delivery).start(tasks)
        tasks.start("snapshots", snapshots.watch())
        tasks.start("reconciler", Reconciler(delivery, broker, notifier, lease=settings.lease).run())
        await stack.enter_async_context(
            MetricsServer(registry, lambda: not tasks.failed.done(), port=settings.metrics_port, host=settings.host)
        )
        _log.info("serving", address=server.address)
        await tasks.until(stop)


def _measure(readings: Readings, dispatcher: Dispatcher, snapshots: Snapshots) -> None:
    readings.gauge(
        "callboard_dispatches_in_flight",
        "Dispatches in the stream that no runner has claimed",
        "priority",
        lambda: dispatcher.in_flight,
    )
    readings.gauge(
        "callboard_oldest_snapshot_seconds",
        "How long the oldest snapshot of the database has been held",
        "",
        lambda: {"": snapshots.oldest_seconds},
    )


def _services(database: Database, commands: PostgresCommands) -> list[Service]:
    store, keys = PostgresDeadLetters(database), PostgresKeys(database)
    cancels, batches = Cancels(commands, keys), DeadLetterBatches(store, commands, keys)
    return [
        Service(
            "callboard.commands.v1.CommandService",
            commands_pb2_grpc.add_CommandServiceServicer_to_server,
            CommandServicer(Commands(commands), cancels),
        ),
        Service(
            "callboard.commands.v1.DeadLetterService",
            commands_pb2_grpc.add_DeadLetterServiceServicer_to_server,
            DeadLetterServicer(DeadLetters(store, commands), batches),
        ),
    ]
