"""One call, from its metadata to its log line."""

import asyncio
import time
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from structlog.contextvars import bind_contextvars

from libs.errors import Reason, ServiceError
from libs.identity.authenticator import Authenticator
from libs.identity.principal import Principal
from libs.rpc.caller import Caller, set_caller
from libs.rpc.errors import INTERNAL_TEXT, service_error_to_status, status_code, status_metadata
from libs.rpc.guards import StreamGuards
from libs.rpc.incoming import REQUEST_ID, AddressReader, RequestIds, text_metadata, token_of
from libs.rpc.metrics import RpcMetrics
from libs.rpc.policy import Access

_log = structlog.get_logger(__name__)
if TYPE_CHECKING:  # generic only for the type checker
    Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Serving:
    """The parts that all calls of a server share."""

    authenticator: Authenticator
    request_id_of: RequestIds
    address_of: AddressReader
    metrics: RpcMetrics
    streams: StreamGuards


@dataclass(frozen=True, slots=True)
class ServedMethod:
    """A method: its path and what it requires of its caller."""

    path: str
    access: Access


class ServedCall:
    """Authorises a call, and turns the end of its block into a status, a log line and a metric.

    A ServiceError becomes its status. Any other exception is logged in full, and the caller gets a constant text.
    """

    __slots__ = ("_context", "_method", "_principal", "_request_id", "_serving", "_started")

    def __init__(self, serving: Serving, method: ServedMethod, context: "Context") -> None:
        self._started = time.perf_counter()
        self._serving = serving
        self._method = method
        self._context = context
        self._principal: Principal | None = None
        self._request_id = ""

    async def __aenter__(self) -> "ServedCall":
        return self

    async def admit(self) -> None:
        """Assign a request id, authenticate the caller and check the policy; raises ServiceError."""
        metadata = text_metadata(self._context.invocation_metadata())
        self._request_id = self._serving.request_id_of(metadata)
        bind_contextvars(request_id=self._request_id)
        required = self._method.access.role
        if required is None:
            return
        principal = await self._serving.authenticator.authenticate(token_of(metadata))
        self._principal = principal
        bind_contextvars(tenant=principal.tenant_id)
        if not required or principal.role < required:
            raise _role_required(self._method.access)
        address = self._serving.address_of(self._context.peer(), metadata)
        set_caller(
            Caller(
                principal.tenant_id,
                principal.name,
                principal.key_id,
                principal.role,
                address,
                self._request_id,
            )
        )

    def guarded(self) -> AbstractContextManager[Any]:
        """Return a block that ends when the server drains or the caller's key is no longer valid."""
        stack = ExitStack()
        guard = stack.enter_context(self._serving.streams.guarded(ends_itself=self._method.access.is_ours))
        if self._principal is not None:
            stack.enter_context(self._serving.authenticator.watch(self._principal, guard.cut))
        return stack

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        match error:
            case None:
                self._ended("OK")
            case ServiceError():
                await self._refuse(error)
            case grpc.aio.AbortError():
                self._ended(_name(self._context.code()))
            case Exception():
                _log.error("rpc_failed", method=self._method.path, exc_info=error)
                await self._refuse(
                    ServiceError(Reason.INTERNAL, INTERNAL_TEXT, metadata={"request_id": self._request_id})
                )
            case asyncio.CancelledError():
                self._ended("DEADLINE_EXCEEDED" if self._is_late() else "CANCELLED")
            case _:  # the process ends
                self._ended("UNKNOWN")

    async def _refuse(self, error: ServiceError) -> None:
        self._ended(status_code(error.reason).name, error.reason)
        status = service_error_to_status(error)
        trailing = (*status_metadata(status), (REQUEST_ID, self._request_id))
        await self._context.abort(status_code(error.reason), status.message, trailing)

    def _ended(self, code: str, reason: str | None = None) -> None:
        seconds = time.perf_counter() - self._started
        self._serving.metrics.observe(self._method.path, code, seconds)
        # The work stream and the metrics show success. A log line would cost a fifth of the call.
        quiet = code == "OK" or (code == "CANCELLED" and self._method.access.is_read)
        log = _log.debug if quiet else _log.info
        principal = self._principal
        log(
            "rpc", method=self._method.path, code=code, duration_ms=round(seconds * 1000, 3),
            principal=principal.name if principal else None, **({"reason": reason} if reason else {}),
        )  # fmt: skip

    def _is_late(self) -> bool:
        remaining: float | None = self._context.time_remaining()  # None without a deadline, which the stubs omit
        return remaining is not None and remaining <= 0


def _role_required(access: Access) -> ServiceError:
    if not access.role:
        return ServiceError(Reason.ROLE_REQUIRED, "no role may call this method")
    role = access.role_name
    return ServiceError(Reason.ROLE_REQUIRED, f"this needs the role {role}", metadata={"required_role": role})


def _name(code: Any) -> str:
    """Return the name of a status code, which a handler may have set as a number."""
    if isinstance(code, grpc.StatusCode):
        return code.name
    return next((known.name for known in grpc.StatusCode if known.value[0] == code), "UNKNOWN")
