"""Unary calls and streams over one connection, with retries."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

import grpc
from google.protobuf.message import Message

from callboard.channel import bearer, channel_options
from callboard.failure import CallboardError
from callboard.retrying import Attempts

_Response = TypeVar("_Response", bound=Message)


class AsyncCalls:
    """Calls of one service, on one event loop."""

    def __init__(self, address: str, api_key: str, timeout: float) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=channel_options())
        self._metadata = tuple(bearer(api_key))
        self._timeout = timeout
        self._methods: dict[str, Callable[..., Any]] = {}

    async def unary(
        self,
        path: str,
        request: Message,
        response: type[_Response],
        *,
        repeatable: bool,
        timeout: float | None,  # noqa: ASYNC109 - gRPC keeps it
    ) -> _Response:
        """Call a method. Raises CallboardError when it fails, and when it has no answer by the deadline."""
        method = _cached(self._methods, self._channel.unary_unary, path, response)
        attempts = Attempts(self._timeout if timeout is None else timeout, repeatable=repeatable)
        while True:
            try:
                answer = await method(request, metadata=self._metadata, timeout=attempts.remaining())
            except grpc.aio.AioRpcError as error:
                failure = CallboardError.of(error)
                wait = attempts.wait_after(failure)
                if wait is None:
                    raise failure from error
            except (grpc.aio.UsageError, asyncio.CancelledError) as error:
                raise_if_closed(error)
                raise
            else:
                return cast(_Response, answer)
            await asyncio.sleep(wait)

    def stream(self, path: str, request: Message, response: type[Message]) -> Any:
        """Open a stream of responses. Returns gRPC's call, which the caller must cancel."""
        method = _cached(self._methods, self._channel.unary_stream, path, response)
        try:
            return method(request, metadata=self._metadata)
        except grpc.aio.UsageError as error:
            raise_if_closed(error)
            raise

    async def close(self) -> None:
        """Close the connection and cancel open calls."""
        await self._channel.close()


def raise_if_closed(error: BaseException) -> None:
    """Raise CallboardError if the client was closed before or during the call, and not the task cancelled."""
    task = asyncio.current_task()
    if task is not None and not task.cancelling():
        raise _closed() from error


class SyncCalls:
    """Calls of one service, from any thread."""

    def __init__(self, address: str, api_key: str, timeout: float) -> None:
        self._channel = grpc.insecure_channel(address, options=channel_options())
        self._metadata = tuple(bearer(api_key))
        self._timeout = timeout
        self._methods: dict[str, Callable[..., Any]] = {}
        self._is_closed = False

    def unary(
        self, path: str, request: Message, response: type[_Response], *, repeatable: bool, timeout: float | None
    ) -> _Response:
        """Call a method. Raises CallboardError when it fails, and when it has no answer by the deadline."""
        method = _cached(self._methods, self._channel.unary_unary, path, response)
        attempts = Attempts(self._timeout if timeout is None else timeout, repeatable=repeatable)
        while True:
            try:
                answer = self._start(method, request, timeout=attempts.remaining())
            except grpc.RpcError as error:
                failure = CallboardError.of(cast(grpc.Call, error))
                wait = attempts.wait_after(failure)
                if wait is None:
                    raise failure from error
            else:
                return cast(_Response, answer)
            time.sleep(wait)

    def stream(self, path: str, request: Message, response: type[Message]) -> Any:
        """Open a stream of responses. Returns gRPC's call, which the caller must cancel."""
        return self._start(_cached(self._methods, self._channel.unary_stream, path, response), request)

    def close(self) -> None:
        """Close the connection and cancel open calls."""
        self._is_closed = True
        self._channel.close()

    def _start(self, method: Callable[..., Any], request: Message, **options: Any) -> Any:
        try:
            return method(request, metadata=self._metadata, **options)
        except ValueError as error:  # gRPC raises this for a closed channel
            if self._is_closed:
                raise _closed() from error
            raise


def _closed() -> CallboardError:
    return CallboardError(grpc.StatusCode.CANCELLED, "the client is closed")


def _cached(
    methods: dict[str, Callable[..., Any]], kind: Callable[..., Any], path: str, response: type[Message]
) -> Callable[..., Any]:
    """Return the callable of a method. If two threads create it at once, either one is used."""
    if path not in methods:
        methods[path] = kind(
            path,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )
    return methods[path]
