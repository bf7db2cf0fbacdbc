"""A fault-injecting gRPC proxy that loses replies after their calls took effect."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc

_STREAMS = ("/callboard.events.v1.EventService/StreamEvents",)


class FaultProxy(grpc.GenericRpcHandler):
    """Loses the next `to_lose` replies, and breaks every stream after `cut_after` responses."""

    def __init__(self, upstreams: dict[str, grpc.aio.Channel]) -> None:
        self._upstreams = upstreams
        self.address = ""
        self.to_lose = 0
        self.cut_after = 0
        self.requests: list[bytes] = []
        self.streams = 0

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        path = str(handler_call_details.method)
        if path in _STREAMS:
            return grpc.unary_stream_rpc_method_handler(partial(self._stream, path))
        return grpc.unary_unary_rpc_method_handler(partial(self._call, path))

    async def _call(self, path: str, request: bytes, context: Any) -> bytes:
        self.requests.append(request)
        method: Any = self._upstream(path).unary_unary(path)
        try:
            answer: bytes = await method(request, metadata=_credentials(context))
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "", tuple(error.trailing_metadata()))
            raise
        if self.to_lose:
            self.to_lose -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the answer is lost")
        return answer

    async def _stream(self, path: str, request: bytes, context: Any) -> AsyncIterator[bytes]:
        self.streams += 1
        method: Any = self._upstream(path).unary_stream(path)
        call = method(request, metadata=_credentials(context))
        passed = 0
        try:
            async for response in call:
                yield response
                passed += 1
                if self.cut_after and passed == self.cut_after:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "the stream is cut")
        finally:
            call.cancel()

    def _upstream(self, path: str) -> grpc.aio.Channel:
        return self._upstreams["command" if path.startswith("/callboard.commands.") else "session"]


def _credentials(context: Any) -> tuple[tuple[str, str], ...]:
    return tuple(pair for pair in context.invocation_metadata() if pair[0] == "authorization")


@asynccontextmanager
async def fault_proxy(session_address: str, command_address: str) -> AsyncIterator[FaultProxy]:
    """Runs a proxy of the two services on its own address."""
    async with (
        grpc.aio.insecure_channel(session_address) as session,
        grpc.aio.insecure_channel(command_address) as command,
    ):
        relay = FaultProxy({"session": session, "command": command})
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((relay,))
        relay.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        try:
            yield relay
        finally:
            await server.stop(None)
