"""A gRPC server: its listener, its limits, its health, and how it is drained."""

import asyncio
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import CollectorRegistry
from protovalidate import Validator

from libs.errors import Reason, ServiceError
from libs.identity.authenticator import Authenticator
from libs.rpc.guards import OpenStreams
from libs.rpc.incoming import LOOPBACK, AddressReader, RequestIds
from libs.rpc.interceptor import ServingInterceptor
from libs.rpc.limits import ServerLimits
from libs.rpc.metrics import RpcMetrics
from libs.rpc.policy import HEALTH_SERVICE, REFLECTION_SERVICE, load_policy, request_types
from libs.rpc.served import Serving
from libs.telemetry.tasks import TaskWatch

_log = structlog.get_logger(__name__)
_GRACE_SECONDS = 5.0
_OWN_SHARE = 0.8
_LAST_WORDS_SECONDS = 0.1
_SERVING, _NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


class ListenError(OSError):
    """The server cannot listen where it was told to."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service to serve: its full name in the contract, its generated `add_..._to_server`, its servicer."""

    name: str
    register: Callable[[Any, grpc.aio.Server], None]
    servicer: object


class RpcServer:
    """Serves from `async with` on; `tasks` gets the loop that checks the keys of open streams.

    `port` 0 means any; `port` and `address` hold the real one once it serves. `draining`, once set, tells the
    handlers of streams to end them, with a ServiceError SHUTTING_DOWN that carries the cursor.
    """

    def __init__(
        self,
        host: str,
        port: int,
        services: Iterable[Service],
        *,
        authenticator: Authenticator,
        tasks: TaskWatch,
        draining: asyncio.Event | None = None,
        limits: ServerLimits | None = None,
        trusted_proxies: Iterable[str] = LOOPBACK,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.draining = draining or asyncio.Event()
        self._services = list(services)
        self._tasks = tasks
        self._limits = limits or ServerLimits()
        self._health = health.aio.HealthServicer()
        metrics = RpcMetrics(registry or CollectorRegistry())
        addresses = AddressReader(trusted_proxies)
        self._serving = Serving(authenticator, RequestIds(), addresses, metrics, OpenStreams())
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        """Where the server listens, as clients write it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    async def __aenter__(self) -> "RpcServer":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen and serve; raises ListenError."""
        server = self._made()
        try:
            self.port = server.add_insecure_port(self.address)
        except RuntimeError as error:
            raise ListenError(f"cannot listen on {self.address}: is the port taken?") from error
        await self.report(serving=True)
        await server.start()
        self._server = server
        self._tasks.start("keys of open streams", self._serving.authenticator.run())

    async def report(self, *, serving: bool) -> None:
        """Tell those who ask for the server's health whether it serves. A drain has the last word."""
        for name in ("", *self._names()):
            await self._health.set(name, _SERVING if serving else _NOT_SERVING)

    async def stop(self, grace: float = _GRACE_SECONDS) -> None:
        """Take no more calls, let those under way end, and end the rest after `grace` seconds."""
        if self._server is None:
            return
        server, self._server = self._server, None
        await self._health.enter_graceful_shutdown()
        self.draining.set()
        error = ServiceError(Reason.SHUTTING_DOWN, "the server is shutting down; try another one")
        streams = self._serving.streams
        # Those who watch the health hear of it first. What does not end itself still gets a status that says why,
        # before gRPC ends it without one.
        loop = asyncio.get_running_loop()
        cuts = [
            loop.call_later(min(_LAST_WORDS_SECONDS, grace / 2), lambda: streams.cut(error, all_of_them=False)),
            loop.call_later(grace * _OWN_SHARE, lambda: streams.cut(error, all_of_them=True)),
        ]
        await server.stop(grace)
        for cut in cuts:
            cut.cancel()

    def _names(self) -> list[str]:
        return [*(service.name for service in self._services), HEALTH_SERVICE, REFLECTION_SERVICE]

    def _made(self) -> grpc.aio.Server:
        limits, names = self._limits, self._names()
        interceptor = ServingInterceptor(
            self._serving, load_policy(names), _validator(tuple(names)), limits.max_request_bytes
        )  # fmt: skip
        server = grpc.aio.server(
            interceptors=[interceptor],
            options=limits.options(),
            maximum_concurrent_rpcs=limits.max_concurrent_calls,
        )
        for service in self._services:
            service.register(service.servicer, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection(names, server)
        return server


@functools.cache
def _validator(names: tuple[str, ...]) -> Validator:
    """The rules of the services' requests, compiled: now, and not in someone's call."""
    validator = Validator()
    for kind in request_types(names):
        validator.collect_violations(kind())
    return validator
