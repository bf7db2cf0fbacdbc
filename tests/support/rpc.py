"""A real gRPC server with a service of all four arities, and API keys to call it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool

from callboard.agents.v1.agents_pb2 import Agent, GetAgentRequest, GetAgentResponse
from callboard.auth.v1 import auth_pb2
from libs.errors import Reason, ServiceError
from libs.identity.authenticator import Authenticator
from libs.identity.keys import NewKey, new_key
from libs.identity.principal import KeyRecord
from libs.rpc import Caller, RpcServer, ServerLimits, Service, current_caller, open_channel
from libs.telemetry import TaskWatch

TRIAL = "callboard.trial.v1.TrialService"
# method: (requests stream, responses stream, role)
METHODS = {
    "Get": (False, False, auth_pb2.ROLE_VIEWER),
    "Change": (False, False, auth_pb2.ROLE_OPERATOR),
    "Forbidden": (False, False, auth_pb2.ROLE_UNSPECIFIED),
    "Follow": (False, True, auth_pb2.ROLE_VIEWER),
    "Collect": (True, False, auth_pb2.ROLE_OPERATOR),
    "Talk": (True, True, auth_pb2.ROLE_OPERATOR),
}


@cache
def define_trial_service() -> None:
    """Adds the service to protobuf's pool, as imported generated code does."""
    file = descriptor_pb2.FileDescriptorProto(
        name="callboard/trial/v1/trial.proto", package="callboard.trial.v1", syntax="proto3"
    )
    file.dependency.extend(["callboard/agents/v1/agents.proto", "callboard/auth/v1/auth.proto"])
    service = file.service.add(name="TrialService")
    for name, (asks_many, answers_many, role) in METHODS.items():
        method = service.method.add(
            name=name,
            input_type=".callboard.agents.v1.GetAgentRequest",
            output_type=".callboard.agents.v1.GetAgentResponse",
            client_streaming=asks_many,
            server_streaming=answers_many,
        )
        if role:
            method.options.Extensions[auth_pb2.required_role] = role
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())


class Trial:
    """A service whose behaviour depends on the request's `agent_id`."""

    def __init__(self) -> None:
        self.draining = asyncio.Event()
        self.callers: list[Caller] = []
        self.cleaned_up = 0
        self.open = 0

    async def unary(self, request: GetAgentRequest, context: Any) -> GetAgentResponse:
        self.callers.append(current_caller())
        match request.agent_id:
            case "absent":
                raise ServiceError(Reason.AGENT_NOT_FOUND, "there is no agent absent", metadata={"agent_id": "absent"})
            case "crash":
                raise ValueError("select secret from api_keys")
            case "abort":
                await context.abort(grpc.StatusCode.DATA_LOSS, "said by the handler")
            case "abort-by-number":
                await context.abort(grpc.StatusCode.DATA_LOSS.value[0], "said by the handler")
            case "hang":
                await asyncio.Event().wait()
        return answer(request.agent_id)

    async def stream(self, request: GetAgentRequest, context: Any) -> AsyncIterator[GetAgentResponse | bytes]:
        self.callers.append(current_caller())
        self.open += 1
        try:
            yield answer("first")
            match request.agent_id:
                case "absent":
                    raise ServiceError(Reason.AGENT_NOT_FOUND, "gone meanwhile")
                case "crash":
                    raise ValueError("select secret from api_keys")
                case "bytes":
                    yield answer("bytes").SerializeToString()
                case "flood":
                    while True:
                        yield answer("x" * 65536)
                case "idle":
                    await asyncio.Event().wait()
                case "polite":
                    await self.draining.wait()
                    raise ServiceError(Reason.SHUTTING_DOWN, "resume elsewhere", metadata={"cursor": "c7"})
        finally:
            self.open -= 1
            self.cleaned_up += 1

    async def collect(self, requests: AsyncIterator[GetAgentRequest], context: Any) -> GetAgentResponse:
        self.callers.append(current_caller())
        return answer("-".join([request.agent_id async for request in requests]))

    async def talk(self, requests: AsyncIterator[GetAgentRequest], context: Any) -> AsyncIterator[GetAgentResponse]:
        self.callers.append(current_caller())
        async for request in requests:
            if request.agent_id == "crash":
                raise ValueError("select secret from api_keys")
            yield answer(request.agent_id)

    def register(self, _: object, server: grpc.aio.Server) -> None:
        """Registers the methods, as a generated `add_..._to_server` does."""
        behaviours = {(False, False): self.unary, (False, True): self.stream}
        behaviours |= {(True, False): self.collect, (True, True): self.talk}  # type: ignore[dict-item]
        makers: dict[tuple[bool, bool], Any] = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }
        handlers = {
            name: makers[arity](behaviours[arity], GetAgentRequest.FromString, GetAgentResponse.SerializeToString)
            for name, (*kinds, _role) in METHODS.items()
            for arity in [(kinds[0], kinds[1])]
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(TRIAL, handlers),))


def answer(agent_id: str) -> GetAgentResponse:
    return GetAgentResponse(agent=Agent(agent_id=agent_id))


def ask(agent_id: str) -> GetAgentRequest:
    return GetAgentRequest(agent_id=agent_id)


class KeyRing:
    """API keys by hash, as the database stores them."""

    def __init__(self) -> None:
        self.records: dict[bytes, KeyRecord] = {}
        self.lookups = 0
        self.is_down = False

    def add(self, role: str, **more: Any) -> NewKey:
        key = new_key()
        record = KeyRecord("acme", key.key_id, key.key_hash, role, None, revoked=False)
        self.records[key.key_hash] = replace(record, **more)
        return key

    def revoke(self, key: NewKey) -> None:
        self.records[key.key_hash] = replace(self.records[key.key_hash], revoked=True)

    async def find(self, key_hash: bytes) -> KeyRecord | None:
        self.lookups += 1
        await asyncio.sleep(0)
        if self.is_down:
            raise ServiceError(Reason.DATABASE_UNAVAILABLE, "the database cannot be reached; try again")
        return self.records.get(key_hash)


@dataclass
class TrialServer:
    server: RpcServer
    trial: Trial
    keys: KeyRing
    tasks: TaskWatch
    channels: list[Any] = field(default_factory=list)

    def method(self, name: str, token: str | None = None) -> Any:
        """A callable for a method, with or without a key."""
        channel = open_channel(self.server.address, token=token)
        self.channels.append(channel)
        asks_many, answers_many, _ = METHODS[name]
        make = getattr(channel, f"{'stream' if asks_many else 'unary'}_{'stream' if answers_many else 'unary'}")
        return make(f"/{TRIAL}/{name}", GetAgentRequest.SerializeToString, GetAgentResponse.FromString)

    def key(self, role: str) -> str:
        return self.keys.add(role).secret_text


@asynccontextmanager
async def trial_server(limits: ServerLimits | None = None, **options: Any) -> AsyncIterator[TrialServer]:
    """Runs the trial service on a free port."""
    define_trial_service()
    trial, keys = Trial(), KeyRing()
    async with TaskWatch() as tasks:
        server = RpcServer(
            "127.0.0.1", 0, [Service(TRIAL, trial.register, trial)],
            authenticator=Authenticator(keys.find), tasks=tasks, draining=trial.draining, limits=limits, **options,
        )  # fmt: skip
        running = TrialServer(server, trial, keys, tasks)
        async with server:
            try:
                yield running
            finally:
                for channel in running.channels:
                    await channel.close()
