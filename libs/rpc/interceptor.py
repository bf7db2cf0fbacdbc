"""The interceptor that wraps every method, unary or streaming in either direction."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc
from protovalidate import Validator

from libs.rpc.policy import DENIED, Access
from libs.rpc.requests import RequestReader
from libs.rpc.served import ServedCall, ServedMethod, Serving

if TYPE_CHECKING:  # generic only for the type checker
    Handler = grpc.RpcMethodHandler[Any, Any]
    from libs.rpc.served import Context

    Behaviour = Callable[[Any, Context], Any]
Serialize = Callable[[Any], bytes]


class ServingInterceptor(grpc.aio.ServerInterceptor):
    """Authenticates calls, parses and validates their requests, and reports how they end.

    Requests arrive as bytes: the caller is authenticated before anything is parsed, and a request that cannot be
    parsed is rejected like any other. Methods that the policy does not name are denied.
    """

    def __init__(
        self, serving: Serving, policy: Mapping[str, Access], validator: Validator, max_request_bytes: int
    ) -> None:
        self._serving = serving
        self._policy = policy
        self._validator = validator
        self._max_request_bytes = max_request_bytes
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Return the method's wrapped handler, or None for an unknown method."""
        path = handler_call_details.method
        wrapped = self._wrapped.get(path)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            wrapped = self._wrapped[path] = self._wrap(path, handler)
        return wrapped

    def _wrap(self, path: str, handler: "Handler") -> "Handler":
        method = ServedMethod(path, self._policy.get(path, DENIED))
        read = self._reader(method, handler)
        serialize = _passing_bytes(handler.response_serializer or bytes)
        serving = self._serving
        match handler.request_streaming, handler.response_streaming:
            case False, False:
                behaviour = _unary_unary(serving, method, handler.unary_unary, read)
                return grpc.unary_unary_rpc_method_handler(behaviour, None, serialize)
            case False, True:
                behaviour = _unary_stream(serving, method, handler.unary_stream, read)
                return grpc.unary_stream_rpc_method_handler(behaviour, None, serialize)
            case True, False:
                behaviour = _stream_unary(serving, method, handler.stream_unary)
                return grpc.stream_unary_rpc_method_handler(behaviour, read, serialize)
            case _:
                behaviour = _stream_stream(serving, method, handler.stream_stream)
                return grpc.stream_stream_rpc_method_handler(behaviour, read, serialize)

    def _reader(self, method: ServedMethod, handler: "Handler") -> Callable[[bytes], Any]:
        parse: Any = handler.request_deserializer or (lambda raw: raw)
        if not method.access.is_ours:
            return parse  # type: ignore[no-any-return]  # the messages of gRPC's own services have no rules
        return RequestReader(parse, self._validator, self._max_request_bytes)


def _unary_unary(serving: Serving, method: ServedMethod, behaviour: Any, read: Callable[[bytes], Any]) -> "Behaviour":
    async def serve(raw: bytes, context: "Context") -> Any:
        async with ServedCall(serving, method, context) as call:
            await call.admit()
            return await behaviour(read(raw), context)

    return serve


def _unary_stream(serving: Serving, method: ServedMethod, behaviour: Any, read: Callable[[bytes], Any]) -> "Behaviour":
    async def serve(raw: bytes, context: "Context") -> None:
        async with ServedCall(serving, method, context) as call:
            await call.admit()
            request = read(raw)
            with call.guarded():
                await _send(behaviour(request, context), context)

    return serve


def _stream_unary(serving: Serving, method: ServedMethod, behaviour: Any) -> "Behaviour":
    async def serve(requests: AsyncIterator[Any], context: "Context") -> Any:
        async with ServedCall(serving, method, context) as call:
            await call.admit()
            with call.guarded():
                return await behaviour(requests, context)

    return serve


def _stream_stream(serving: Serving, method: ServedMethod, behaviour: Any) -> "Behaviour":
    async def serve(requests: AsyncIterator[Any], context: "Context") -> None:
        async with ServedCall(serving, method, context) as call:
            await call.admit()
            with call.guarded():
                await _send(behaviour(requests, context), context)

    return serve


async def _send(responses: Any, context: "Context") -> None:
    """Send what an async generator yields, then close it. A coroutine sends by itself."""
    if not hasattr(responses, "__aiter__"):
        await responses
        return
    async with aclosing(responses):
        async for response in responses:
            await context.write(response)


def _passing_bytes(serialize: Serialize) -> Serialize:
    """Let a handler return bytes that it has serialized already, once for many readers."""

    def passing(response: Any) -> bytes:
        return response if type(response) is bytes else serialize(response)

    return passing
