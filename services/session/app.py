"""The composition root of the session service."""

import asyncio

from libs.notifications import SESSIONS_CLOSING
from libs.runtime.runtime import Runtime
from libs.runtime.serving import serve_rpc
from libs.server_registry import ServerRegistryFile
from services.session.agents.handler import agent_service
from services.session.agents.service import Agents
from services.session.agents.store import PostgresAgents
from services.session.events.hub import Hub
from services.session.events.notifications import BusNotificationSource
from services.session.events.registration import event_service
from services.session.events.service import Follower
from services.session.events.store import PostgresEvents
from services.session.sessions.handler import session_service
from services.session.sessions.service import Lifecycle
from services.session.sessions.store import PostgresSessions
from services.session.settings import SessionSettings
from services.session.upkeep import StopRounds, keep_tables


async def serve(settings: SessionSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set. Then close everything in reverse order of opening."""
    async with Runtime.opened(settings, name="callboard-session", role="callboard_session") as runtime:
        servers = ServerRegistryFile(settings.servers_file) if settings.servers_file else None
        agents = Agents(PostgresAgents(runtime.database), lambda: servers.current().names() if servers else None)
        sessions = PostgresSessions(runtime.database, runtime.notifier)
        events = PostgresEvents(runtime.database, runtime.notifier)
        hub, lifecycle = Hub(events, BusNotificationSource(runtime.notifications)), Lifecycle(sessions)
        hub.measure(runtime.readings)
        services = (
            agent_service(agents),
            session_service(lifecycle, sessions),
            event_service(events, Follower(events, agents, hub)),
        )
        await serve_rpc(runtime, settings.session_port, services)
        runtime.on_close(hub.close)
        stops = StopRounds(lifecycle)
        await runtime.subscribe(SESSIONS_CLOSING, stops.wake)
        runtime.tasks.start("hub", hub.watch())
        runtime.tasks.start("stops", stops.run())
        runtime.tasks.start("upkeep", keep_tables(events))
        await runtime.run(stop)
