"""The composition root of the session service."""

import asyncio
from contextlib import AsyncExitStack

import structlog

from callboard.agents.v1 import agents_pb2_grpc
from callboard.sessions.v1 import sessions_pb2_grpc
from libs.bus import Bus, Notifications
from libs.db import Database
from libs.identity.authenticator import Authenticator
from libs.identity.postgres import key_lookup
from libs.notifications import SESSIONS_CLOSING, BusNotifier
from libs.readiness import shared_services
from libs.rpc import RpcServer, Service
from libs.server_registry import ServerRegistryFile
from libs.telemetry.metrics import MetricsServer, new_registry
from libs.telemetry.readings import Readings
from libs.telemetry.tasks import TaskWatch
from services.session.agents.handler import AgentServicer
from services.session.agents.service import Agents
from services.session.agents.store import PostgresAgents
from services.session.events.handler import EventServicer
from services.session.events.hub import Hub
from services.session.events.notifications import BusNotificationSource
from services.session.events.registration import EVENT_SERVICE, add_event_servicer
from services.session.events.service import Events, Follower
from services.session.events.store import PostgresEvents
from services.session.sessions.handler import SessionServicer
from services.session.sessions.service import Lifecycle, Sessions
from services.session.sessions.store import PostgresSessions
from services.session.settings import SessionSettings
from services.session.upkeep import StopRounds, keep_tables

_log = structlog.get_logger(__name__)


async def serve(settings: SessionSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set. Then close everything in reverse order of opening."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            Database.opened(
                settings.database_url.get_secret_value(), role="callboard_session", name="callboard-session",
                size=settings.database_connections,
            )
        )  # fmt: skip
        bus = await stack.enter_async_context(Bus.opened(settings.nats_url.get_secret_value(), "callboard-session"))
        notifications, registry = Notifications(bus), new_registry()
        notifier = BusNotifier(notifications)
        tasks = await stack.enter_async_context(TaskWatch())

        sessions, events = PostgresSessions(database, notifier), PostgresEvents(database, notifier)
        hub = Hub(events, BusNotificationSource(notifications))
        Readings(registry).gauge(
            "callboard_followed", "Partitions that are followed live, and their readers", "kind", lambda: hub.followed
        )
        lifecycle = Lifecycle(sessions)
        agents = _agents(settings, database)
        services = [
            *shared_services(database.is_up, lambda: bus.connected),
            *_services(agents, lifecycle, sessions, events, Follower(events, agents, hub)),
        ]
        server = await stack.enter_async_context(
            RpcServer(
                settings.host, settings.session_port, services,
                authenticator=Authenticator(key_lookup(database.pool)), tasks=tasks, registry=registry,
            )
        )  # fmt: skip
        stack.callback(hub.close)
        stops = StopRounds(lifecycle)
        closing = await notifications.subscribe(SESSIONS_CLOSING, lambda *_: stops.wake())
        stack.callback(closing.unsubscribe)
        tasks.start("hub", hub.watch())
        tasks.start("stops", stops.run())
        tasks.start("upkeep", keep_tables(events))
        await stack.enter_async_context(
            MetricsServer(registry, lambda: not tasks.failed.done(), port=settings.metrics_port, host=settings.host)
        )
        _log.info("serving", address=server.address)
        await tasks.until(stop)


def _agents(settings: SessionSettings, database: Database) -> Agents:
    servers = ServerRegistryFile(settings.servers_file) if settings.servers_file else None
    return Agents(PostgresAgents(database), lambda: servers.current().names() if servers else None)


def _services(
    agents: Agents, lifecycle: Lifecycle, sessions: PostgresSessions, events: PostgresEvents, follower: Follower
) -> list[Service]:
    return [
        Service(
            "callboard.agents.v1.AgentService",
            agents_pb2_grpc.add_AgentServiceServicer_to_server,
            AgentServicer(agents),
        ),
        Service(
            "callboard.sessions.v1.SessionService",
            sessions_pb2_grpc.add_SessionServiceServicer_to_server,
            SessionServicer(lifecycle, Sessions(sessions)),
        ),
        Service(EVENT_SERVICE, add_event_servicer, EventServicer(Events(events), follower)),
    ]
