"""The gRPC servicers for identity and readiness."""

from collections.abc import Awaitable, Callable

from callboard.auth.v1 import auth_pb2
from callboard.health.v1 import health_pb2, health_pb2_grpc
from callboard.identity.v1 import identity_pb2, identity_pb2_grpc
from libs.rpc import Context, current_caller


class IdentityServicer(identity_pb2_grpc.IdentityServiceServicer):
    """Returns callers their own identity."""

    async def GetPrincipal(
        self, request: identity_pb2.GetPrincipalRequest, context: Context
    ) -> identity_pb2.GetPrincipalResponse:
        """Return the principal behind the call's credentials."""
        caller = current_caller()
        return identity_pb2.GetPrincipalResponse(
            tenant_id=caller.tenant_id, principal=caller.principal, role=auth_pb2.Role.ValueType(caller.role)
        )


class ReadinessServicer(health_pb2_grpc.ReadinessServiceServicer):
    """Reports whether a service is ready: not ready without the database, degraded without the broker."""

    def __init__(self, database_is_up: Callable[[], Awaitable[bool]], broker_is_up: Callable[[], bool]) -> None:
        self._database_is_up = database_is_up
        self._broker_is_up = broker_is_up
        self._was_ready = False

    async def GetReadiness(
        self, request: health_pb2.GetReadinessRequest, context: Context
    ) -> health_pb2.GetReadinessResponse:
        """Return the readiness of the service and its parts. It is not ready until all parts have been up once."""
        database, broker = await self._database_is_up(), self._broker_is_up()
        self._was_ready = self._was_ready or (database and broker)
        readiness = health_pb2.READINESS_NOT_READY
        if database and self._was_ready:
            readiness = health_pb2.READINESS_READY if broker else health_pb2.READINESS_DEGRADED
        parts = {
            "database": health_pb2.READINESS_READY if database else health_pb2.READINESS_NOT_READY,
            "broker": health_pb2.READINESS_READY if broker else health_pb2.READINESS_NOT_READY,
        }
        return health_pb2.GetReadinessResponse(readiness=readiness, parts=parts)
