"""A channel that sends metadata with every call, and may translate the errors of calls."""

from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, cast

import grpc

from callboard.channel import Metadata

Translate = Callable[[grpc.aio.AioRpcError], Exception]


class CallingChannel:
    """A channel for stubs that sends metadata with every call, and may translate the errors of calls.

    It wraps the channel's callables. A gRPC interceptor would cost a task for each call.
    """

    def __init__(self, channel: grpc.aio.Channel, metadata: Metadata, translate: Translate | None = None) -> None:
        self.channel = channel
        self._metadata = tuple(metadata)
        self._translate = translate

    def for_stubs(self) -> grpc.aio.Channel:
        """Return this channel with the type that stubs require. They use only its four methods."""
        return cast(grpc.aio.Channel, self)

    def unary_unary(self, *arguments: Any, **options: Any) -> Any:
        """Return the callable of a method."""
        return self._calling(self.channel.unary_unary(*arguments, **options))

    def unary_stream(self, *arguments: Any, **options: Any) -> Any:
        """Return the callable of a method."""
        return self._calling(self.channel.unary_stream(*arguments, **options))

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        """Return the callable of a method."""
        return self._calling(self.channel.stream_unary(*arguments, **options))

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        """Return the callable of a method."""
        return self._calling(self.channel.stream_stream(*arguments, **options))

    def _calling(self, method: Callable[..., Any]) -> Callable[..., Any]:
        own, translate = self._metadata, self._translate

        def call(*arguments: Any, metadata: Metadata | None = None, **options: Any) -> Any:
            made = method(*arguments, metadata=(*own, *(metadata or ())), **options)
            return _TranslatedCall(made, translate) if translate else made

        return call


class _TranslatedCall:
    """A call whose errors are translated when it is awaited or iterated. Other attributes are those of the call."""

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
            self._call.cancel()  # gRPC does not cancel a call that is only dropped (grpc#43462)
