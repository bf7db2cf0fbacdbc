"""The composition root of the gateway."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from libs.telemetry.metrics import new_registry
from libs.telemetry.tasks import TaskWatch
from services.gateway.channels import open_channels
from services.gateway.http.app import GatewayApp
from services.gateway.http.callers import Callers
from services.gateway.http.metrics import HttpMetrics
from services.gateway.http.readiness import Readiness
from services.gateway.http.server import HttpServer, listen
from services.gateway.pages import public_pages
from services.gateway.rest.calls import Calls, StreamCalls
from services.gateway.rest.handler import RequestHandler
from services.gateway.rest.table import STREAM_RPC, routes
from services.gateway.routing import router_of
from services.gateway.settings import GatewaySettings
from services.gateway.sse.streams import OpenStreams


async def serve(
    settings: GatewaySettings, stop: asyncio.Event, *, on_ready: Callable[[str], None] | None = None
) -> None:
    """Serve until `stop` is set. Then streams end at once, and other requests have `settings.drain` seconds to end."""
    async with AsyncExitStack() as stack:
        channels = await stack.enter_async_context(open_channels(settings))
        tasks = await stack.enter_async_context(TaskWatch())
        registry, table = new_registry(), routes()
        metrics = HttpMetrics(registry)
        streams = OpenStreams(settings.most_streams, metrics.streams)
        calls = Calls(channels.session, channels.command, [STREAM_RPC, *(route.rpc for route in table)])
        handler = RequestHandler(calls, StreamCalls(channels.streams, STREAM_RPC), streams, settings)
        readiness = Readiness({"session": channels.session, "command": channels.command})
        router = router_of(table, handler, public_pages(readiness, registry))
        listener = stack.enter_context(listen(settings.host, settings.http_port, settings.write_deadline))
        server = HttpServer(GatewayApp(router, Callers(channels.session), metrics), listener, settings.drain)
        server.start(tasks)
        if on_ready is not None:
            on_ready(server.address)
        await tasks.until(stop)
        streams.drain()
        await server.finish()
