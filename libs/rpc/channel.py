"""Channels between services, and the metadata of calls on behalf of a caller."""

import json
from typing import Any

import grpc

from callboard.agents.v1 import agents_pb2
from callboard.auth.v1 import auth_pb2
from callboard.channel import Metadata, bearer, channel_options
from callboard.commands.v1 import commands_pb2
from callboard.events.v1 import events_pb2
from callboard.sessions.v1 import sessions_pb2
from libs.rpc.calling_channel import CallingChannel, Translate
from libs.rpc.incoming import CLIENT_ADDRESS, REQUEST_ID

_CONTRACT = (agents_pb2, sessions_pb2, events_pb2, commands_pb2)
_RETRY = {
    "maxAttempts": 3,
    "initialBackoff": "0.05s",
    "maxBackoff": "0.5s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


class RpcChannel(CallingChannel):
    """A channel that is closed at the end of its block."""

    async def __aenter__(self) -> grpc.aio.Channel:
        return self.for_stubs()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection and cancel open calls."""
        await self.channel.close()


def open_channel(address: str, *, token: str | None = None, translate: Translate | None = None) -> RpcChannel:
    """Open a channel to a service. It connects at the first call, and sends the token, if any, with every call.

    Use it as `async with open_channel(...) as channel: AgentServiceStub(channel)`, or keep it, give the stubs
    `for_stubs()`, and `close()` it. Failed calls raise grpc.aio.AioRpcError, which `service_error_from_rpc` converts,
    or the error that `translate` returns. A read that reached no server is retried; a write is not.
    """
    retries = ("grpc.service_config", json.dumps({"methodConfig": [{"name": _reads(), "retryPolicy": _RETRY}]}))
    channel = grpc.aio.insecure_channel(address, options=[*channel_options(), retries])
    return RpcChannel(channel, bearer(token) if token is not None else (), translate)


def _reads() -> list[dict[str, Any]]:
    return [
        {"service": service.full_name, "method": method.name}
        for module in _CONTRACT
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if method.GetOptions().Extensions[auth_pb2.required_role] == auth_pb2.ROLE_VIEWER
        and not method.server_streaming
    ]


def call_metadata(*, authorization: str | None = None, request_id: str = "", client_address: str = "") -> Metadata:
    """Return the metadata of a call on behalf of a caller: its `authorization` header, request id and address."""
    pairs = [
        ("authorization", authorization or ""),
        (REQUEST_ID, request_id),
        (CLIENT_ADDRESS, client_address),
    ]
    return tuple((key, value) for key, value in pairs if value)
