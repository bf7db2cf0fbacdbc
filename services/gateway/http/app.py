"""The gateway as an ASGI application: it routes requests, authenticates callers, and turns errors into problems."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import grpc
import structlog
from starlette.types import Receive, Scope, Send

from libs.errors import Reason, ServiceError
from libs.rpc import service_error_from_rpc
from libs.rpc.errors import INTERNAL_TEXT
from libs.rpc.incoming import RequestIds
from services.gateway.http.bodies import ClientGoneError
from services.gateway.http.callers import Callers, GatewayCaller
from services.gateway.http.context import RequestContext
from services.gateway.http.metrics import HttpMetrics
from services.gateway.http.problems import problem
from services.gateway.http.responses import Response
from services.gateway.http.router import Router

_log = structlog.get_logger(__name__)
_API = b"/api/"


@dataclass(frozen=True, slots=True)
class PublicPage:
    """A page that needs no API key."""

    name: str
    respond: Callable[[], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An operation that needs an API key. `takes_key` says whether it takes an Idempotency-Key."""

    name: str
    takes_key: bool
    handle: "Handle"


class Handle(Protocol):
    """Responds to an authenticated request; raises ServiceError."""

    async def __call__(self, parameters: Mapping[str, str], context: RequestContext, caller: GatewayCaller) -> None:
        """Respond."""


Target = Endpoint | PublicPage


class GatewayApp:
    """Serves requests. Every exception becomes a problem here and nowhere else."""

    def __init__(self, router: Router[Target], callers: Callers, metrics: HttpMetrics) -> None:
        self._router = router
        self._callers = callers
        self._metrics = metrics
        self._request_ids = RequestIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request: the ASGI entry point."""
        context = RequestContext(scope, receive, send, self._request_ids)
        try:
            await self._respond(context)
        except ClientGoneError:
            context.reason = "CLIENT_GONE"
        finally:
            context.ended(self._metrics)

    async def _respond(self, context: RequestContext) -> None:
        try:
            await self._serve(context)
            return
        except ClientGoneError:
            raise
        except ServiceError as raised:
            error = raised
        except grpc.aio.AioRpcError as raised:
            error = service_error_from_rpc(raised)
        except Exception:  # noqa: BLE001 - the boundary: log the error, and respond with a constant text
            _log.error("request_failed", request_id=context.request_id, exc_info=True)
            error = ServiceError(Reason.INTERNAL, INTERNAL_TEXT, metadata={"request_id": context.request_id})
        if context.is_started:  # too late to report it: the connection ends before the response does
            raise ClientGoneError
        response = problem(error, context.path)
        if context.allowed:
            response.headers["Allow"] = context.allowed
        await context.respond(response)

    async def _serve(self, context: RequestContext) -> None:
        match = self._router.find(context.raw_path)
        target = match.targets.get(context.method) if match is not None else None
        if isinstance(target, Endpoint) and target.takes_key:
            context.read_idempotency_key()
        caller = None
        if context.raw_path.startswith(_API):
            caller = await self._callers.authenticate(context.headers.get(b"authorization"), context.request_id)
            context.principal = caller.name
        if match is None:
            raise ServiceError(Reason.ROUTE_NOT_FOUND, "there is no such route; /openapi.json lists the routes")
        if target is None:
            context.allowed = ", ".join(sorted(match.targets))
            raise ServiceError(Reason.METHOD_NOT_ALLOWED, f"the route does not accept {context.method}")
        context.operation = target.name
        if isinstance(target, PublicPage):
            await context.respond(await target.respond())
        elif caller is not None:
            await target.handle(match.parameters, context, caller)
