"""A gRPC server on a runtime, with the two services that every server has: identity and readiness."""

from collections.abc import Callable, Iterable

import structlog

from callboard.health.v1 import health_pb2_grpc
from callboard.identity.v1 import identity_pb2_grpc
from libs.identity.authenticator import Authenticator
from libs.identity.postgres import key_lookup
from libs.rpc import RpcServer, Service
from libs.runtime.runtime import Runtime
from libs.runtime.servicers import IdentityServicer, ReadinessServicer

_log = structlog.get_logger(__name__)


async def serve_rpc(
    runtime: Runtime, port: int, services: Iterable[Service], *, broker_is_up: Callable[[], bool] | None = None
) -> None:
    """Serve the services to callers with a valid key, until the runtime closes.

    `broker_is_up` reports whether the broker can do what the services need; they need the bus in any case.
    """

    def bus_is_up() -> bool:
        return runtime.bus.connected and (broker_is_up is None or broker_is_up())

    shared = (
        Service(
            "callboard.identity.v1.IdentityService",
            identity_pb2_grpc.add_IdentityServiceServicer_to_server,
            IdentityServicer(),
        ),
        Service(
            "callboard.health.v1.ReadinessService",
            health_pb2_grpc.add_ReadinessServiceServicer_to_server,
            ReadinessServicer(runtime.database.is_up, bus_is_up),
        ),
    )
    server = await runtime.open(
        RpcServer(
            runtime.settings.host, port, (*shared, *services),
            authenticator=Authenticator(key_lookup(runtime.database.pool)), tasks=runtime.tasks,
            registry=runtime.registry,
        )
    )  # fmt: skip
    _log.info("serving", address=server.address)
