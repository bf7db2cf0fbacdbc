"""The composition root of the gateway."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import structlog

from callboard.health.v1 import health_pb2_grpc
from callboard.identity.v1 import identity_pb2_grpc
from libs.rpc import open_channel
from libs.telemetry.metrics import new_registry
from libs.telemetry.tasks import TaskWatch
from services.gateway.http.app import GatewayApp
from services.gateway.http.callers import Callers
from services.gateway.http.metrics import HttpMetrics
from services.gateway.http.readiness import Readiness
from services.gateway.http.server import http_server, listen
from services.gateway.pages import public_pages
from services.gateway.rest.calls import Calls, StreamCalls
from services.gateway.rest.handler import RequestHandler
from services.gateway.rest.table import STREAM_RPC, routes
from services.gateway.routing import router_of
from services.gateway.settings import GatewaySettings
from services.gateway.sse.streams import OpenStreams

_log = structlog.get_logger(__name__)
_STREAMS_EACH = 500  # streams on a connection; a service allows 1,000


async def serve(
    settings: GatewaySettings, stop: asyncio.Event, *, on_ready: Callable[[str], None] | None = None
) -> None:
    """Serve until `stop` is set. Then streams end at once, and other requests have `settings.drain` seconds to end."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(open_channel(settings.session_address))
        command = await stack.enter_async_context(open_channel(settings.command_address))
        channels = [
            await stack.enter_async_context(open_channel(settings.session_address))
            for _ in range(-(-settings.most_streams // _STREAMS_EACH))
        ]
        tasks = await stack.enter_async_context(TaskWatch())
        registry, table = new_registry(), routes()
        metrics = HttpMetrics(registry)
        streams = OpenStreams(settings.most_streams, metrics.streams)
        calls = Calls(session, command, [STREAM_RPC, *(route.rpc for route in table)])
        handler = RequestHandler(calls, StreamCalls(channels, STREAM_RPC), streams, settings)
        stubs = {
            "session": health_pb2_grpc.ReadinessServiceStub(session),
            "command": health_pb2_grpc.ReadinessServiceStub(command),
        }
        router = router_of(table, handler, public_pages(Readiness(stubs), registry))
        app = GatewayApp(router, Callers(identity_pb2_grpc.IdentityServiceStub(session)), metrics)
        listener = stack.enter_context(listen(settings.host, settings.http_port, settings.write_deadline))
        address = _address(*listener.getsockname()[:2])
        server = http_server(app, settings.drain)
        serving = tasks.start("http", server.serve([listener]), may_end=True)
        _log.info("serving", address=address)
        if on_ready is not None:
            on_ready(address)
        await tasks.until(stop)
        streams.drain()
        server.should_exit = True
        await serving


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
