"""The methods of the contract by name: reads their requests from JSON and writes their responses as JSON."""

from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message import Message

from callboard import descriptors
from callboard.agents.v1 import agents_pb2
from callboard.commands.v1 import commands_pb2
from callboard.events.v1 import events_pb2
from callboard.health.v1 import health_pb2
from callboard.identity.v1 import identity_pb2
from callboard.sessions.v1 import sessions_pb2
from libs.contract.operations import Operation, operations_of
from libs.contract.readers import compile_reader
from libs.contract.slots import Limits
from libs.contract.strict_json import read_object
from libs.contract.writers import Write, Writers

_FILES = (agents_pb2, sessions_pb2, events_pb2, commands_pb2, identity_pb2, health_pb2)


class UnknownMethodError(LookupError):
    """No method of the contract has this name, or more than one."""


class Method:
    """A method of the contract. Its reader and its writer are compiled when they are first used."""

    def __init__(self, descriptor: MethodDescriptor) -> None:
        self.descriptor = descriptor

    @property
    def name(self) -> str:
        """The method's own name: `SubmitCommand`."""
        return self.descriptor.name

    @property
    def full_name(self) -> str:
        """The name with its package and service."""
        return self.descriptor.full_name

    @property
    def path(self) -> str:
        """The path of its gRPC calls."""
        return f"/{self.descriptor.containing_service.full_name}/{self.descriptor.name}"

    @property
    def is_stream(self) -> bool:
        """Whether it returns a stream."""
        return self.descriptor.server_streaming

    @property
    def description(self) -> str:
        """The contract's comment on it."""
        return descriptors.comments().get(self.full_name, "")

    @cached_property
    def request(self) -> type[Message]:
        """The class of its requests."""
        return message_factory.GetMessageClass(self.descriptor.input_type)

    @cached_property
    def response(self) -> type[Message]:
        """The class of its responses."""
        return message_factory.GetMessageClass(self.descriptor.output_type)

    @cached_property
    def operations(self) -> list[Operation]:
        """Its operations in REST."""
        return operations_of(self.descriptor)

    def read(self, given: Mapping[str, Any]) -> Message:
        """Return the request that one JSON object describes, including the fields that REST has in the URL and headers.

        Raises ServiceError FIELD_INVALID, which names every field that breaks a rule as in the object.
        """
        request = self.request()
        self._read(given, request)
        return request

    def read_json(self, text: str | bytes) -> Message:
        """Return the request that the text of a JSON object describes; raises ServiceError, also JSON_INVALID."""
        return self.read(read_object(text.encode() if isinstance(text, str) else text))

    def write(self, response: Message) -> dict[str, Any]:
        """Return a response as the body in REST, for `orjson.dumps`."""
        field = self.operations[0].rule.response_body if self.operations else ""
        if field and response.HasField(field):
            response = getattr(response, field)
        return write_message(response)

    @cached_property
    def limits(self) -> Limits:
        """What one JSON object with the whole request accepts."""
        operation = self.operations[0] if self.operations else None
        return Limits(
            body=operation.limits.body if operation else "",
            if_match=operation.option.if_match if operation else "",
            is_whole=True,
        )

    @cached_property
    def _read(self) -> Any:
        return compile_reader(f"call_{self.full_name}", self.descriptor.input_type, self.limits)


@cache
def all_methods() -> tuple[Method, ...]:
    """Return all methods of the contract, in its order."""
    services = [service for file in _FILES for service in file.DESCRIPTOR.services_by_name.values()]
    return tuple(Method(method) for service in services for method in service.methods)


def find_method(name: str) -> Method:
    """Return the method of a name: `SubmitCommand`, `CommandService.SubmitCommand` or its full name.

    The separator before the last part may be `/` or `.`. Raises UnknownMethodError.
    """
    wanted = f".{name.strip('/').replace('/', '.')}"
    found = [method for method in all_methods() if f".{method.full_name}".endswith(wanted)]
    if len(found) != 1:
        raise UnknownMethodError(name)
    return found[0]


def write_message(message: Message) -> dict[str, Any]:
    """Return any message of the contract as JSON, for `orjson.dumps`."""
    return writer_of(message.DESCRIPTOR)(message)


@cache
def writer_of(message: Descriptor) -> Write:
    """Return the function that writes a message."""
    return _writers().writer(message)


@cache
def _writers() -> Writers:
    return Writers()
