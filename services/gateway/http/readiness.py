"""Reports the readiness of the suite: the gateway asks both services."""

import asyncio
from collections.abc import Mapping

import grpc

from callboard.health.v1 import health_pb2, health_pb2_grpc
from services.gateway.http.responses import Response, json_response

_SECONDS = 2.0
_NAMES = {health_pb2.READINESS_READY: "ready", health_pb2.READINESS_DEGRADED: "degraded"}
_NOT_READY = "notReady"
_ORDER = ("ready", "degraded", _NOT_READY)


class Readiness:
    """Responds with 503 until all parts have been ready once, and later while a service is not ready."""

    def __init__(self, services: Mapping[str, grpc.aio.Channel]) -> None:
        self._services = {name: health_pb2_grpc.ReadinessServiceStub(channel) for name, channel in services.items()}
        self._was_ready = False

    async def respond(self) -> Response:
        """Ask the services, and return the response of `/readyz`."""
        reports = await asyncio.gather(*(self._ask(name, stub) for name, stub in self._services.items()))
        parts: dict[str, str] = {}
        for report in reports:
            for part, state in report.items():
                parts[part] = max(parts.get(part, "ready"), state, key=_ORDER.index)
        self._was_ready = self._was_ready or all(state == "ready" for state in parts.values())
        status = max((parts[name] for name in self._services), key=_ORDER.index)
        if not self._was_ready:
            status = _NOT_READY
        value = {"status": status, "parts": parts}
        return json_response(503 if status == _NOT_READY else 200, value, {"Cache-Control": "no-store"})

    async def _ask(self, name: str, stub: health_pb2_grpc.ReadinessServiceStub) -> dict[str, str]:
        """Return the readiness of a service by its name, and of its parts by theirs."""
        try:
            answer = await stub.GetReadiness(health_pb2.GetReadinessRequest(), timeout=_SECONDS)
        except grpc.aio.AioRpcError:
            return {name: _NOT_READY}
        parts = {part: _NAMES.get(state, _NOT_READY) for part, state in answer.parts.items()}
        return {**parts, name: _NAMES.get(answer.readiness, _NOT_READY)}
