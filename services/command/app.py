"""The command service, put together."""

import asyncio
from contextlib import AsyncExitStack

import structlog

from callboard.commands.v1 import commands_pb2_grpc
from callboard.health.v1 import health_pb2_grpc
from callboard.identity.v1 import identity_pb2_grpc
from libs.bus import Bus, Hints
from libs.db import Database
from libs.identity.authenticator import Authenticator
from libs.identity.postgres import key_lookup
from libs.readiness import IdentityServicer, ReadinessServicer
from libs.rpc import RpcServer, Service
from libs.signals import COMMANDS_WAITING, BusSignals
from libs.telemetry.metrics import MetricsServer, new_registry
from libs.telemetry.readings import Readings
from libs.telemetry.tasks import TaskWatch
from services.command.broker.advisories import Advisories
from services.command.broker.dispatches import JetStreamBroker
from services.command.broker.durability import check_writes_through
from services.command.operations.cancels import Cancels
from services.command.operations.commands import Commands, Keyed
from services.command.operations.dead_letter_batches import DeadLetterBatches
from services.command.operations.dead_letters import DeadLetters
from services.command.operations.dispatcher import Dispatcher
from services.command.operations.reconciler import Reconciler
from services.command.operations.snapshots import Snapshots
from services.command.servicer.commands import CommandServicer
from services.command.servicer.dead_letters import DeadLetterServicer
from services.command.settings import CommandSettings
from services.command.store.batch_keys import PostgresBatchKeys
from services.command.store.commands import PostgresCommands
from services.command.store.dead_letters import PostgresDeadLetters
from services.command.store.delivery import PostgresDelivery
from services.command.store.keys import PostgresKeys
from services.command.store.work import PostgresWork

_log = structlog.get_logger(__name__)


async def serve(settings: CommandSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; everything that was opened is closed in reverse."""
    async with AsyncExitStack() as stack:
        database = Database.of(
            settings.database_url.get_secret_value(), role="callboard_command", name="callboard-command",
            size=settings.database_connections,
        )  # fmt: skip
        await database.open()
        stack.push_async_callback(database.close)
        bus = await Bus.connect(settings.nats_url.get_secret_value(), "callboard-command")
        stack.push_async_callback(bus.close)
        if settings.nats_monitor_url:
            await check_writes_through(settings.nats_monitor_url)
        hints = Hints(bus)
        signals = BusSignals(hints)
        tasks = await stack.enter_async_context(TaskWatch())
        registry = new_registry()

        broker = JetStreamBroker(bus)
        delivery = PostgresDelivery(database, signals, PostgresWork(database, signals))
        dispatcher = Dispatcher(delivery, broker)
        snapshots = Snapshots(delivery)
        readings = Readings(registry)
        readings.gauge(
            "callboard_dispatches_standing",
            "Dispatches that wait in the stream",
            "priority",
            lambda: dispatcher.standing,
        )
        readings.gauge(
            "callboard_oldest_snapshot_seconds",
            "How long the oldest snapshot of the database has been held",
            "",
            lambda: {"": snapshots.oldest_seconds},
        )
        commands = PostgresCommands(database, signals, dispatcher)
        letters = PostgresDeadLetters(database)
        keyed = Keyed(PostgresKeys(database))
        servicers = [
            Service(
                "callboard.commands.v1.CommandService",
                commands_pb2_grpc.add_CommandServiceServicer_to_server,
                CommandServicer(
                    Commands(commands), Cancels(commands, keyed, PostgresBatchKeys(database, "cancel_many")), commands
                ),
            ),
            Service(
                "callboard.commands.v1.DeadLetterService",
                commands_pb2_grpc.add_DeadLetterServiceServicer_to_server,
                DeadLetterServicer(
                    DeadLetters(letters, commands),
                    DeadLetterBatches(letters, commands, PostgresBatchKeys(database, "requeue_many")),
                    letters,
                ),
            ),
            Service(
                "callboard.identity.v1.IdentityService",
                identity_pb2_grpc.add_IdentityServiceServicer_to_server,
                IdentityServicer(),
            ),
            Service(
                "callboard.health.v1.ReadinessService",
                health_pb2_grpc.add_ReadinessServiceServicer_to_server,
                ReadinessServicer(database.is_up, lambda: bus.connected and broker.stores),
            ),
        ]
        server = await stack.enter_async_context(
            RpcServer(
                settings.host, settings.command_port, servicers,
                authenticator=Authenticator(key_lookup(database.pool)), tasks=tasks, registry=registry,
            )
        )  # fmt: skip
        heard = await hints.subscribe(COMMANDS_WAITING, lambda *_: dispatcher.look())
        stack.callback(heard.unsubscribe)
        advisories = Advisories(bus, delivery)
        tasks.start("advisories", advisories.pull())
        tasks.start("lost dispatches", advisories.settle())
        tasks.start("offers", dispatcher.publish_offers())
        tasks.start("marks", dispatcher.mark_published())
        tasks.start("dispatch", dispatcher.rounds())
        tasks.start("snapshots", snapshots.watch())
        tasks.start("reconciler", Reconciler(delivery, broker, signals, lease=settings.lease).run())
        await stack.enter_async_context(
            MetricsServer(registry, lambda: not tasks.failed.done(), port=settings.metrics_port, host=settings.host)
        )
        _log.info("serving", address=server.address)
        await tasks.until(stop)
