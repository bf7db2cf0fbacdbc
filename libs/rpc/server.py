"""A gRPC server: its listener, its health and its drain."""

import asyncio
from collections.abc import Iterable
from types import TracebackType

import grpc
from grpc_health.v1 import health, health_pb2
from prometheus_client import CollectorRegistry

from libs.errors import Reason, ServiceError
from libs.identity.authenticator import Authenticator
from libs.rpc.assembly import Service, build_server, served_names
from libs.rpc.guards import StreamGuards
from libs.rpc.incoming import LOOPBACK, AddressReader, RequestIds
from libs.rpc.limits import ServerLimits
from libs.rpc.metrics import RpcMetrics
from libs.rpc.served import Serving
from libs.telemetry.tasks import TaskWatch

_GRACE_SECONDS = 5.0
_SERVING, _NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


class ListenError(OSError):
    """The server cannot listen on its address."""


class RpcServer:
    """Serves while its `async with` block lasts. `tasks` runs the loop that checks the keys of open streams.

    With `port` 0 it takes any free port; `port` and `address` then hold the real one. When `draining` is set, handlers
    must end their streams with a ServiceError SHUTTING_DOWN that has the cursor.
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
        self._serving = Serving(authenticator, RequestIds(), addresses, metrics, StreamGuards())
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        """The address for clients."""
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
        server = build_server(self._services, self._serving, self._health, self._limits)
        try:
            self.port = server.add_insecure_port(self.address)
        except RuntimeError as error:
            raise ListenError(f"cannot listen on {self.address}: is the port taken?") from error
        await self.report(serving=True)
        await server.start()
        self._server = server
        self._tasks.start("keys of open streams", self._serving.authenticator.run())

    async def report(self, *, serving: bool) -> None:
        """Set the health that clients see. It has no effect once the server drains."""
        for name in ("", *served_names(self._services)):
            await self._health.set(name, _SERVING if serving else _NOT_SERVING)

    async def stop(self, grace: float = _GRACE_SECONDS) -> None:
        """Accept no more calls, let open calls finish, and end the rest after `grace` seconds."""
        if self._server is None:
            return
        server, self._server = self._server, None
        await self._health.enter_graceful_shutdown()
        self.draining.set()
        error = ServiceError(Reason.SHUTTING_DOWN, "the server is shutting down; try another one")
        with self._serving.streams.ended_within(grace, error):
            await server.stop(grace)
