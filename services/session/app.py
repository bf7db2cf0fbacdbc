"""The session service, put together."""

import asyncio
from contextlib import AsyncExitStack

import structlog

from callboard.agents.v1 import agents_pb2_grpc
from callboard.health.v1 import health_pb2_grpc
from callboard.identity.v1 import identity_pb2_grpc
from callboard.sessions.v1 import sessions_pb2_grpc
from libs.bus import Bus, Notifications
from libs.db import Database
from libs.errors import ServiceError
from libs.identity.authenticator import Authenticator
from libs.identity.postgres import key_lookup
from libs.notifications import SESSIONS_CLOSING, BusNotifier
from libs.readiness import IdentityServicer, ReadinessServicer
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
from services.session.events.service import Follower
from services.session.events.store import PostgresEvents
from services.session.sessions.handler import SessionServicer
from services.session.sessions.service import Lifecycle
from services.session.sessions.store import PostgresSessions
from services.session.settings import SessionSettings

_log = structlog.get_logger(__name__)
_ROUND = 2.0  # seconds between looks for stops that nobody carries on
_BUCKETS_EVERY = 3600.0


async def serve(settings: SessionSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; everything that was opened is closed in reverse."""
    async with AsyncExitStack() as stack:
        database = Database.of(
            settings.database_url.get_secret_value(), role="callboard_session", name="callboard-session",
            size=settings.database_connections,
        )  # fmt: skip
        await database.open()
        stack.push_async_callback(database.close)
        bus = await Bus.connect(settings.nats_url.get_secret_value(), "callboard-session")
        stack.push_async_callback(bus.close)
        notifications = Notifications(bus)
        notifier = BusNotifier(notifications)
        tasks = await stack.enter_async_context(TaskWatch())
        registry = new_registry()

        sessions = PostgresSessions(database, notifier)
        events = PostgresEvents(database, notifier)
        hub = Hub(events, BusNotificationSource(notifications))
        Readings(registry).gauge("callboard_followed", "What is followed live", "kind", lambda: hub.followed)
        lifecycle = Lifecycle(sessions)
        server_registry = ServerRegistryFile(settings.servers_file) if settings.servers_file else None
        agents = Agents(
            PostgresAgents(database), lambda: server_registry.current().names() if server_registry else None
        )
        servicers = [
            Service(
                "callboard.agents.v1.AgentService",
                agents_pb2_grpc.add_AgentServiceServicer_to_server,
                AgentServicer(agents),
            ),
            Service(
                "callboard.sessions.v1.SessionService",
                sessions_pb2_grpc.add_SessionServiceServicer_to_server,
                SessionServicer(lifecycle, sessions),
            ),
            Service(EVENT_SERVICE, add_event_servicer, EventServicer(events, Follower(events, agents, hub))),
            Service(
                "callboard.identity.v1.IdentityService",
                identity_pb2_grpc.add_IdentityServiceServicer_to_server,
                IdentityServicer(),
            ),
            Service(
                "callboard.health.v1.ReadinessService",
                health_pb2_grpc.add_ReadinessServiceServicer_to_server,
                ReadinessServicer(database.is_up, lambda: bus.connected),
            ),
        ]
        server = await stack.enter_async_context(
            RpcServer(
                settings.host, settings.session_port, servicers,
                authenticator=Authenticator(key_lookup(database.pool)), tasks=tasks, registry=registry,
            )
        )  # fmt: skip
        stack.callback(hub.close)
        closing = asyncio.Event()
        heard = await notifications.subscribe(SESSIONS_CLOSING, lambda *_: closing.set())
        stack.callback(heard.unsubscribe)
        tasks.start("hub", hub.watch())
        tasks.start("stops", _finish_stops(lifecycle, closing))
        tasks.start("upkeep", _upkeep(database, sessions))
        await stack.enter_async_context(
            MetricsServer(registry, lambda: not tasks.failed.done(), port=settings.metrics_port, host=settings.host)
        )
        _log.info("serving", address=server.address)
        await tasks.until(stop)


async def _finish_stops(lifecycle: Lifecycle, closing: asyncio.Event) -> None:
    """Carry on stops whose service died, and the ends that runners ask for, at once when one says so."""
    while True:
        older_than = 0.0 if closing.is_set() else _ROUND
        closing.clear()
        try:
            await lifecycle.finish_stops(older_than)
        except ServiceError as error:
            _log.warning("stops_not_finished", reason=error.reason)
        try:
            async with asyncio.timeout(_ROUND):
                await closing.wait()
        except TimeoutError:
            continue


async def _upkeep(database: Database, sessions: PostgresSessions) -> None:
    """Make the weeks' tables ahead of time, and forget old keys."""
    while True:
        try:
            await database.rows("select session.make_buckets(4)")
            await sessions.forget_keys()
        except ServiceError as error:
            _log.warning("upkeep_failed", reason=error.reason)
        await asyncio.sleep(_BUCKETS_EVERY)
