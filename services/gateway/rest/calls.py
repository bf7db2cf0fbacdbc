"""Calls the methods of the services behind the gateway."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor

from libs.rpc.policy import Access, load_policy

_COMMAND_PACKAGE = "callboard.commands.v1."


class Calls:
    """The callables of methods by full name, and the role that each method requires."""

    def __init__(self, session: grpc.aio.Channel, command: grpc.aio.Channel, rpcs: Iterable[str]) -> None:
        self._methods: dict[str, Any] = {}
        for rpc in set(rpcs):
            self._methods[rpc] = _method(command if rpc.startswith(_COMMAND_PACKAGE) else session, rpc)
        policy = load_policy({rpc.rpartition(".")[0] for rpc in self._methods})
        self.access: Mapping[str, Access] = {rpc: policy[_path(rpc)] for rpc in self._methods}

    def __getitem__(self, rpc: str) -> Any:
        return self._methods[rpc]


class StreamCalls:
    """The streaming method, over its own connections.

    A service allows 1,000 streams on a connection. Any further call on it would wait until one of them ends.
    """

    def __init__(self, channels: Sequence[grpc.aio.Channel], rpc: str) -> None:
        self._methods = [_method(channel, rpc) for channel in channels]
        self._open = [0] * len(self._methods)

    @contextmanager
    def one(self) -> Iterator[Any]:
        """Lend the callable of the connection with the fewest streams, for the life of one stream."""
        index = self._open.index(min(self._open))
        self._open[index] += 1
        try:
            yield self._methods[index]
        finally:
            self._open[index] -= 1


def _method(channel: grpc.aio.Channel, rpc: str) -> Any:
    method: MethodDescriptor = descriptor_pool.Default().FindMethodByName(rpc)
    make = channel.unary_stream if method.server_streaming else channel.unary_unary
    return make(
        _path(rpc),
        request_serializer=message_factory.GetMessageClass(method.input_type).SerializeToString,
        response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
    )


def _path(rpc: str) -> str:
    service, _, method = rpc.rpartition(".")
    return f"/{service}/{method}"
