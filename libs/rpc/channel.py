"""Channels between services, and the metadata of calls on behalf of someone."""

import grpc

from callboard.channel import CallingChannel, Metadata, bearer, channel_options
from libs.rpc.incoming import CLIENT_ADDRESS, REQUEST_ID


class RpcChannel(CallingChannel):
    """A channel that is closed at the end of its block."""

    async def __aenter__(self) -> grpc.aio.Channel:
        return self.for_stubs()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection and cancel open calls."""
        await self.channel.close()


def open_channel(address: str, *, token: str | None = None) -> RpcChannel:
    """Open a channel to a service, sending the token with every call when there is one; nothing connects yet.

    Use it as `async with open_channel(...) as channel: AgentServiceStub(channel)`, or keep it, give the stubs
    `for_stubs()`, and `close()` it. Failed calls raise grpc.aio.AioRpcError; `service_error_from_rpc` reads that.
    """
    channel = grpc.aio.insecure_channel(address, options=channel_options())
    return RpcChannel(channel, bearer(token) if token is not None else ())


def call_metadata(*, authorization: str | None = None, request_id: str = "", client_address: str = "") -> Metadata:
    """Return the metadata of a call on behalf of someone: their `authorization` header, request id and address."""
    pairs = [
        ("authorization", authorization or ""),
        (REQUEST_ID, request_id),
        (CLIENT_ADDRESS, client_address),
    ]
    return tuple((key, value) for key, value in pairs if value)
