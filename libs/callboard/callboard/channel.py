"""Channels to Callboard's services: the options that they need, and metadata that goes with every call."""

import json
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from typing import Any, cast

import grpc

from callboard.agents.v1 import agents_pb2
from callboard.auth.v1 import auth_pb2
from callboard.commands.v1 import commands_pb2
from callboard.events.v1 import events_pb2
from callboard.sessions.v1 import sessions_pb2

Metadata = Sequence[tuple[str, str]]
Translate = Callable[[grpc.aio.AioRpcError], Exception]

_CONTRACT = (agents_pb2, sessions_pb2, events_pb2, commands_pb2)
_PING_MILLISECONDS = 20_000  # the services permit one in 10 s
_PING_TIMEOUT_MILLISECONDS = 10_000
_MOST_RECEIVED_BYTES = 64 * 1024 * 1024  # pages of events with large payloads pass gRPC's own 4 MiB
_MOST_METADATA_BYTES = 16 * 1024
_RETRY = {
    "maxAttempts": 3,
    "initialBackoff": "0.05s",
    "maxBackoff": "0.5s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


def bearer(key: str) -> Metadata:
    """Return the metadata that carries a key."""
    return (("authorization", f"Bearer {key}"),)


def channel_options() -> list[tuple[str, Any]]:
    """Return gRPC's options for a channel. Reads that found nobody are tried again, writes are not."""
    return [
        ("grpc.use_local_subchannel_pool", 1),  # a channel is a connection: equal channels share none
        ("grpc.keepalive_time_ms", _PING_MILLISECONDS),
        ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_MILLISECONDS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_receive_message_length", _MOST_RECEIVED_BYTES),
        ("grpc.max_metadata_size", _MOST_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", _MOST_METADATA_BYTES),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        ("grpc.service_config", json.dumps({"methodConfig": [{"name": _reads(), "retryPolicy": _RETRY}]})),
    ]


def _reads() -> list[dict[str, str]]:
    return [
        {"service": service.full_name, "method": method.name}
        for module in _CONTRACT
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if method.GetOptions().Extensions[auth_pb2.required_role] == auth_pb2.ROLE_VIEWER
        and not method.server_streaming
    ]


class CallingChannel:
    """A channel for stubs that sends metadata with every call, and may translate the errors of calls.

    It wraps what the channel makes, rather than being a gRPC interceptor: those cost a task for each call.
    """

    def __init__(self, channel: grpc.aio.Channel, metadata: Metadata, translate: Translate | None = None) -> None:
        self.channel = channel
        self._metadata = tuple(metadata)
        self._translate = translate

    def for_stubs(self) -> grpc.aio.Channel:
        """Return this as what stubs are typed to take; they use its four methods only."""
        return cast(grpc.aio.Channel, self)

    def unary_unary(self, *arguments: Any, **options: Any) -> Any:
        """Make the callable of a method."""
        return self._calling(self.channel.unary_unary(*arguments, **options))

    def unary_stream(self, *arguments: Any, **options: Any) -> Any:
        """Make the callable of a method."""
        return self._calling(self.channel.unary_stream(*arguments, **options))

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        """Make the callable of a method."""
        return self._calling(self.channel.stream_unary(*arguments, **options))

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        """Make the callable of a method."""
        return self._calling(self.channel.stream_stream(*arguments, **options))

    def _calling(self, method: Callable[..., Any]) -> Callable[..., Any]:
        own, translate = self._metadata, self._translate

        def call(*arguments: Any, metadata: Metadata | None = None, **options: Any) -> Any:
            made = method(*arguments, metadata=(*own, *(metadata or ())), **options)
            return _TranslatedCall(made, translate) if translate else made

        return call


class _TranslatedCall:
    """A call whose errors are translated where it is awaited or iterated; in all else it is the call."""

    def __init__(self, call: Any, translate: Translate) -> None:
        self._call = call
        self._translate = translate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            return (yield from self._call.__await__())
        except grpc.aio.AioRpcError as error:
            raise self._translate(error) from error

    async def __aiter__(self) -> AsyncIterator[Any]:
        try:
            async for response in self._call:
                yield response
        except grpc.aio.AioRpcError as error:
            raise self._translate(error) from error
        finally:
            self._call.cancel()  # a call that is merely dropped is never cancelled (grpc#43462)
