"""Who callers are: asked of the session service, and remembered for a moment."""

import asyncio
import re
import time
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import grpc

from callboard.identity.v1 import identity_pb2, identity_pb2_grpc
from libs.errors import Reason, ServiceError
from libs.rpc import call_metadata, service_error_from_rpc

if TYPE_CHECKING:
    from callboard.auth.v1.auth_pb2 import Role

_SECONDS = 2.0
_MOST = 4096
_CALL_SECONDS = 5.0
# What is longer, or of other characters, is no key, and could not travel as gRPC metadata.
_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([!-~]{1,1024})")


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller, as its key says; `authorization` is what to send with calls on its behalf."""

    tenant_id: str
    name: str
    role: "Role.ValueType"
    authorization: str


class Principals:
    """Authenticates callers; one call for all who ask for the same key at once, and its answer for 2 s after it."""

    def __init__(self, identity: identity_pb2_grpc.IdentityServiceStub) -> None:
        self._identity = identity
        self._known: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Principal | ServiceError]] = {}

    async def authenticate(self, header: bytes | None, request_id: str) -> Principal:
        """Return the caller behind an Authorization header; raises ServiceError."""
        authorization = _authorization(header)
        key = sha256(authorization.encode()).digest()
        found = self._known.get(key)
        if found is not None and found[0] > time.monotonic():
            return found[1]
        asking = self._asking.get(key)
        if asking is None:
            asking = asyncio.create_task(self._ask(key, authorization, request_id))
            self._asking[key] = asking
            asking.add_done_callback(lambda _: self._asking.pop(key))
        answer = await asyncio.shield(asking)  # others wait for it too
        if isinstance(answer, ServiceError):
            raise ServiceError(answer.reason, answer.message, metadata=answer.metadata)
        return answer

    async def _ask(self, key: bytes, authorization: str, request_id: str) -> Principal | ServiceError:
        asked_at = time.monotonic()
        try:
            answer = await self._identity.GetPrincipal(
                identity_pb2.GetPrincipalRequest(),
                metadata=call_metadata(authorization=authorization, request_id=request_id),
                timeout=_CALL_SECONDS,
            )
        except grpc.aio.AioRpcError as error:
            return service_error_from_rpc(error)
        principal = Principal(answer.tenant_id, answer.principal, answer.role, authorization)
        self._remember(key, asked_at + _SECONDS, principal)
        return principal

    def _remember(self, key: bytes, until: float, principal: Principal) -> None:
        self._known.pop(key, None)
        self._known[key] = until, principal
        if len(self._known) > _MOST:
            self._known.popitem(last=False)


def _authorization(header: bytes | None) -> str:
    """Return the header in its one form; raises ServiceError."""
    if header is None:
        raise ServiceError(
            Reason.CREDENTIALS_MISSING, "the request carries no key; send it as `Authorization: Bearer <key>`"
        )
    match = _BEARER.fullmatch(header)
    if match is None:
        raise ServiceError(Reason.CREDENTIALS_INVALID, "the key is not valid")
    return f"Bearer {match.group(1).decode()}"
