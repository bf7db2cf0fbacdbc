"""Scripted services behind the gateway: the contract's methods on real servers, with real keys and validation."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message

from callboard.health.v1 import health_pb2_grpc
from callboard.identity.v1 import identity_pb2_grpc
from libs.errors import ServiceError
from libs.identity.authenticator import Authenticator
from libs.rpc import RpcServer, Service
from libs.runtime.servicers import IdentityServicer, ReadinessServicer
from libs.telemetry import TaskWatch
from tests.support.stub_messages import default_answers

SESSION_SERVICES = (
    "callboard.agents.v1.AgentService",
    "callboard.sessions.v1.SessionService",
    "callboard.events.v1.EventService",
)
COMMAND_SERVICES = ("callboard.commands.v1.CommandService", "callboard.commands.v1.DeadLetterService")


@dataclass
class Heard:
    """A call that a service received."""

    method: str
    request: Any
    metadata: dict[str, Any]


@dataclass
class Script:
    """The services' answers by the method's short name: a message, a ServiceError, or a function of the request."""

    answers: dict[str, Any] = field(default_factory=default_answers)
    heard: list[Heard] = field(default_factory=list)
    database_is_up: bool = True
    broker_is_up: bool = True
    open_streams: int = 0

    def last(self, method: str) -> Heard:
        return [call for call in self.heard if call.method == method][-1]

    def said(self, method: str) -> Any:
        """The last request that a method received."""
        return self.last(method).request

    def count(self, method: str) -> int:
        return sum(call.method == method for call in self.heard)

    def hear(self, method: str, request: Any, context: Any) -> None:
        self.heard.append(Heard(method, request, dict(context.invocation_metadata() or ())))

    async def unary(self, method: str, request: Any, context: Any) -> Message:
        self.hear(method, request, context)
        answer = self.answers[method]
        if callable(answer):
            answer = answer(request)
        if asyncio.iscoroutine(answer):
            answer = await answer
        if isinstance(answer, ServiceError):
            raise answer
        assert isinstance(answer, Message)
        return answer

    async def stream(self, method: str, request: Any, context: Any) -> AsyncIterator[Message]:
        self.hear(method, request, context)
        self.open_streams += 1
        try:
            answer = self.answers[method]
            if isinstance(answer, ServiceError):
                raise answer
            async for response in answer(request, context):
                yield response
        finally:
            self.open_streams -= 1


class CountedIdentity(IdentityServicer):
    """Counts its calls."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def GetPrincipal(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._script.hear("GetPrincipal", request, context)
        return await super().GetPrincipal(request, context)


def stub_server(
    script: Script,
    names: tuple[str, ...],
    authenticator: Authenticator,
    tasks: TaskWatch,
    *,
    with_identity: bool = False,
) -> RpcServer:
    """Runs a server of these services, of readiness, and optionally of identity."""

    async def database() -> bool:
        return script.database_is_up

    services = [Service(name, _register(script, name), object()) for name in names]
    services.append(
        Service(
            "callboard.health.v1.ReadinessService",
            health_pb2_grpc.add_ReadinessServiceServicer_to_server,
            ReadinessServicer(database, lambda: script.broker_is_up),
        )
    )
    if with_identity:
        add = identity_pb2_grpc.add_IdentityServiceServicer_to_server
        services.append(Service("callboard.identity.v1.IdentityService", add, CountedIdentity(script)))
    return RpcServer("127.0.0.1", 0, services, authenticator=authenticator, tasks=tasks)


def _register(script: Script, name: str) -> Callable[[Any, grpc.aio.Server], None]:
    """What a generated `add_..._to_server` does."""

    def handler(method: Any) -> Any:
        make = grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
        play = script.stream if method.server_streaming else script.unary
        return make(
            lambda request, context: play(method.name, request, context),
            message_factory.GetMessageClass(method.input_type).FromString,
            message_factory.GetMessageClass(method.output_type).SerializeToString,
        )

    def register(_: object, server: grpc.aio.Server) -> None:
        methods = descriptor_pool.Default().FindServiceByName(name).methods
        handlers = {method.name: handler(method) for method in methods}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))

    return register
