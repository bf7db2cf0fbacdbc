"""The registrations of the identity and readiness services."""

from collections.abc import Awaitable, Callable

from callboard.health.v1 import health_pb2_grpc
from callboard.identity.v1 import identity_pb2_grpc
from libs.readiness.servicers import IdentityServicer, ReadinessServicer
from libs.rpc import Service


def shared_services(database_is_up: Callable[[], Awaitable[bool]], broker_is_up: Callable[[], bool]) -> list[Service]:
    """Return the services that every server has: identity and readiness."""
    return [
        Service(
            "callboard.identity.v1.IdentityService",
            identity_pb2_grpc.add_IdentityServiceServicer_to_server,
            IdentityServicer(),
        ),
        Service(
            "callboard.health.v1.ReadinessService",
            health_pb2_grpc.add_ReadinessServiceServicer_to_server,
            ReadinessServicer(database_is_up, broker_is_up),
        ),
    ]
