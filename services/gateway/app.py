"""The gateway, put together."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import cache

import orjson
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from callboard.health.v1 import health_pb2_grpc
from callboard.identity.v1 import identity_pb2_grpc
from libs.rpc import open_channel
from libs.telemetry.metrics import new_registry
from libs.telemetry.tasks import TaskWatch
from services.gateway.documents.openapi import describe
from services.gateway.documents.page import PAGE_HEADERS, page
from services.gateway.edge.answers import Sent, json_answer
from services.gateway.edge.calls import Calls, StreamCalls
from services.gateway.edge.gate import Gate, PublicPage, Target
from services.gateway.edge.metrics import HttpMetrics
from services.gateway.edge.operator import Operator
from services.gateway.edge.principals import Principals
from services.gateway.edge.readiness import Readiness
from services.gateway.edge.router import Router
from services.gateway.edge.server import http_server, listen
from services.gateway.edge.streams import OpenStreams
from services.gateway.routes.table import OPERATIONS, STREAM_RPC
from services.gateway.settings import GatewaySettings

_log = structlog.get_logger(__name__)
_STREAMS_EACH = 500  # streams on a connection; a service allows 1,000


async def serve(
    settings: GatewaySettings, stop: asyncio.Event, *, on_ready: Callable[[str], None] | None = None
) -> None:
    """Serve until `stop` is set: then streams end at once, and what else is under way gets a moment."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(open_channel(settings.session_address))
        command = await stack.enter_async_context(open_channel(settings.command_address))
        tasks = await stack.enter_async_context(TaskWatch())
        registry = new_registry()
        metrics = HttpMetrics(registry)
        streams = OpenStreams(settings.most_streams, metrics.streams)
        calls = Calls(session, command, [STREAM_RPC, *(operation.rpc for operation in OPERATIONS)])
        connections = range(-(-settings.most_streams // _STREAMS_EACH))
        stream_calls = StreamCalls(
            [await stack.enter_async_context(open_channel(settings.session_address)) for _ in connections], STREAM_RPC
        )
        readiness = Readiness(
            {
                "session": health_pb2_grpc.ReadinessServiceStub(session),
                "command": health_pb2_grpc.ReadinessServiceStub(command),
            }
        )
        gate = Gate(
            _router(readiness, registry),
            Principals(identity_pb2_grpc.IdentityServiceStub(session)),
            Operator(calls, stream_calls, streams, settings),
            metrics,
        )
        listener = stack.enter_context(listen(settings.host, settings.http_port, settings.write_deadline))
        address = _address(*listener.getsockname()[:2])
        server = http_server(gate, settings.drain)
        serving = tasks.start("http", server.serve([listener]), may_end=True)
        _log.info("serving", address=address)
        if on_ready is not None:
            on_ready(address)
        await tasks.until(stop)
        streams.drain()
        server.should_exit = True
        await serving


def _router(readiness: Readiness, registry: CollectorRegistry) -> Router[Target]:
    router: Router[Target] = Router()
    for operation in OPERATIONS:
        for path in (operation.path, *operation.aliases):
            router.add(operation.method, path, operation)
    document, documentation = _documents()
    pages: list[tuple[str, str, Callable[[], Awaitable[Sent]]]] = [
        ("/healthz", "getHealth", _fixed(json_answer(200, {"status": "ok"}, {"Cache-Control": "no-store"}))),
        ("/readyz", "getReadiness", readiness.answer),
        ("/metrics", "getMetrics", lambda: _metrics(registry)),
        ("/openapi.json", "getOpenApi", _fixed(Sent(200, document))),
        ("/docs", "getDocs", _fixed(Sent(200, documentation, "text/html; charset=utf-8", PAGE_HEADERS))),
    ]
    for path, name, answer in pages:
        for method in ("GET", "HEAD"):
            router.add(method, path, PublicPage(name, answer))
    return router


@cache
def _documents() -> tuple[bytes, bytes]:
    """Return the OpenAPI document and its page: the same for every server of the process, and 0.2 s of work."""
    document = describe(OPERATIONS)
    return orjson.dumps(document), page(document)


def _fixed(answer: Sent) -> Callable[[], Awaitable[Sent]]:
    async def same() -> Sent:
        return answer

    return same


async def _metrics(registry: CollectorRegistry) -> Sent:
    return Sent(200, generate_latest(registry), CONTENT_TYPE_LATEST)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
