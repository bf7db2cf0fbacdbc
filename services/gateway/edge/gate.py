"""The gateway as an ASGI application: what each request is for, and how whatever goes wrong leaves as a problem."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc
import structlog
from starlette.types import Receive, Scope, Send

from libs.errors import Reason, ServiceError
from libs.rpc import service_error_from_rpc
from libs.rpc.errors import INTERNAL_TEXT
from libs.rpc.incoming import RequestIds
from services.gateway.edge.answers import Sent
from services.gateway.edge.bodies import ClientGoneError
from services.gateway.edge.exchange import Exchange
from services.gateway.edge.metrics import HttpMetrics
from services.gateway.edge.operator import Operator
from services.gateway.edge.principals import Principals
from services.gateway.edge.problems import problem
from services.gateway.edge.router import Router
from services.gateway.routes.operation import Operation

_log = structlog.get_logger(__name__)
_API = b"/api/"


@dataclass(frozen=True, slots=True)
class PublicPage:
    """A page that needs no key."""

    name: str
    answer: Callable[[], Awaitable[Sent]]


Target = Operation | PublicPage


class Gate:
    """Serves requests. Whatever is raised on the way becomes a problem here, and nowhere else."""

    def __init__(
        self, router: Router[Target], principals: Principals, operator: Operator, metrics: HttpMetrics
    ) -> None:
        self._router = router
        self._principals = principals
        self._operator = operator
        self._metrics = metrics
        self._request_ids = RequestIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI has it."""
        exchange = Exchange(scope, receive, send, self._request_ids)
        try:
            await self._answer(exchange)
        except ClientGoneError:
            exchange.reason = "CLIENT_GONE"
        finally:
            exchange.ended(self._metrics)

    async def _answer(self, exchange: Exchange) -> None:
        try:
            await self._serve(exchange)
            return
        except ClientGoneError:
            raise
        except ServiceError as refused:
            refusal = refused
        except grpc.aio.AioRpcError as error:
            refusal = service_error_from_rpc(error)
        except Exception:  # noqa: BLE001 - the boundary: logged whole, and a constant text leaves
            _log.error("request_failed", request_id=exchange.request_id, exc_info=True)
            refusal = ServiceError(Reason.INTERNAL, INTERNAL_TEXT, metadata={"request_id": exchange.request_id})
        if exchange.is_started:  # too late to say so: the connection ends without the end of the answer
            raise ClientGoneError
        await exchange.answer(problem(refusal, exchange.path))

    async def _serve(self, exchange: Exchange) -> None:
        match = self._router.find(exchange.raw_path)
        target = match.targets.get(exchange.method) if match is not None else None
        if isinstance(target, Operation) and target.changes:
            exchange.echo_idempotency_key()
        principal = None
        if exchange.raw_path.startswith(_API):
            principal = await self._principals.authenticate(exchange.headers.get(b"authorization"), exchange.request_id)
            exchange.principal = principal.name
        if match is None:
            raise ServiceError(Reason.ROUTE_NOT_FOUND, "there is no such route; /openapi.json has those that there are")
        if target is None:
            exchange.more_headers["Allow"] = ", ".join(sorted(match.targets))
            raise ServiceError(Reason.METHOD_NOT_ALLOWED, f"the route does not take {exchange.method}")
        exchange.operation = target.name
        if isinstance(target, PublicPage):
            await exchange.answer(await target.answer())
        elif principal is not None:
            await self._operator.operate(target, match.parameters, exchange, principal)
