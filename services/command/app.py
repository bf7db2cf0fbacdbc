"""The composition root of the command service."""

import asyncio

from libs.attempts import PostgresFinishes
from libs.idempotency import PostgresKeys
from libs.notifications import COMMANDS_WAITING
from libs.runtime.runtime import Runtime
from libs.runtime.serving import serve_rpc
from services.command.commands.handler import command_service
from services.command.commands.store import PostgresCommands
from services.command.dead_letters.handler import dead_letter_service
from services.command.dead_letters.store import PostgresDeadLetters
from services.command.dispatch.advisories import Advisories
from services.command.dispatch.broker import JetStreamBroker
from services.command.dispatch.durability import check_writes_through
from services.command.dispatch.reconciler import Reconciler
from services.command.dispatch.service import Dispatcher
from services.command.dispatch.snapshots import Snapshots
from services.command.dispatch.store import PostgresDelivery
from services.command.settings import CommandSettings


async def serve(settings: CommandSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set. Then close everything in reverse order of opening."""
    async with Runtime.opened(settings, name="callboard-command", role="callboard_command") as runtime:
        if settings.nats_monitor_url:
            await check_writes_through(settings.nats_monitor_url)
        database, notifier, tasks = runtime.database, runtime.notifier, runtime.tasks
        broker = JetStreamBroker(runtime.bus)
        delivery = PostgresDelivery(database, notifier, PostgresFinishes(database, notifier))
        dispatcher, snapshots = Dispatcher(delivery, broker), Snapshots(delivery)
        dispatcher.measure(runtime.readings)
        snapshots.measure(runtime.readings)
        commands, keys = PostgresCommands(database, notifier, dispatcher), PostgresKeys(database)
        services = (
            command_service(commands, keys),
            dead_letter_service(PostgresDeadLetters(database), commands, keys),
        )
        await serve_rpc(runtime, settings.command_port, services, broker_is_up=lambda: broker.stores)
        await runtime.subscribe(COMMANDS_WAITING, dispatcher.wake)
        dispatcher.start(tasks)
        Advisories(runtime.bus, delivery).start(tasks)
        tasks.start("snapshots", snapshots.watch())
        tasks.start("reconciler", Reconciler(delivery, broker, notifier, lease=settings.lease).run())
        await runtime.run(stop)
