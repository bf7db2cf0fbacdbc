"""The readiness of a service."""

import grpc

from callboard.health.v1 import health_pb2, health_pb2_grpc
from tests.support.eventually import eventually


async def readiness(address: str) -> health_pb2.Readiness.ValueType:
    """The answer to GetReadiness; NOT_READY if there is none."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.ReadinessServiceStub(channel)
        try:
            return (await stub.GetReadiness(health_pb2.GetReadinessRequest(), timeout=5)).readiness
        except grpc.aio.AioRpcError:
            return health_pb2.READINESS_NOT_READY


async def wait_for_readiness(address: str, wanted: health_pb2.Readiness.ValueType, seconds: float = 15.0) -> None:
    """Waits until the service reports this readiness."""

    async def is_so() -> bool:
        return await readiness(address) == wanted

    await eventually(is_so, seconds)
