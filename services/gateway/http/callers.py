"""Authenticates callers through the session service, and caches the results for a short time."""

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import grpc

from callboard.identity.v1 import identity_pb2, identity_pb2_grpc
from libs.errors import Reason, ServiceError
from libs.identity.lookups import Lookups
from libs.rpc import call_metadata, service_error_from_rpc

if TYPE_CHECKING:
    from callboard.auth.v1.auth_pb2 import Role

_SECONDS = 2.0  # with the 2 s of the service's cache, a revoked key is rejected within 5 s
_MOST = 4096
_CALL_SECONDS = 5.0
# A longer text, or one with other characters, is not a key and could not be sent as gRPC metadata.
_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([!-~]{1,1024})")


@dataclass(frozen=True, slots=True)
class GatewayCaller:
    """The caller that a key belongs to. `authorization` is sent with calls on its behalf."""

    tenant_id: str
    name: str
    role: "Role.ValueType"
    authorization: str


class Callers:
    """Authenticates callers. Concurrent requests with one key share a call, and its result is cached for 2 s."""

    def __init__(self, session: grpc.aio.Channel) -> None:
        self._identity = identity_pb2_grpc.IdentityServiceStub(session)
        self._lookups = Lookups[GatewayCaller](_MOST, _SECONDS)

    async def authenticate(self, header: bytes | None, request_id: str) -> GatewayCaller:
        """Return the caller of an Authorization header; raises ServiceError."""
        authorization = _authorization(header)
        key = sha256(authorization.encode()).digest()
        caller = await self._lookups.get(key, lambda: self._ask(authorization, request_id))
        if caller is None:
            raise _invalid()
        return caller

    async def _ask(self, authorization: str, request_id: str) -> GatewayCaller:
        try:
            answer = await self._identity.GetPrincipal(
                identity_pb2.GetPrincipalRequest(),
                metadata=call_metadata(authorization=authorization, request_id=request_id),
                timeout=_CALL_SECONDS,
            )
        except grpc.aio.AioRpcError as error:
            raise service_error_from_rpc(error) from None
        return GatewayCaller(answer.tenant_id, answer.principal, answer.role, authorization)


def _authorization(header: bytes | None) -> str:
    """Return the header in canonical form; raises ServiceError."""
    if header is None:
        raise ServiceError(
            Reason.CREDENTIALS_MISSING, "the request has no API key; send it as `Authorization: Bearer <key>`"
        )
    match = _BEARER.fullmatch(header)
    if match is None:
        raise _invalid()
    return f"Bearer {match.group(1).decode()}"


def _invalid() -> ServiceError:
    return ServiceError(Reason.CREDENTIALS_INVALID, "the key is not valid")
