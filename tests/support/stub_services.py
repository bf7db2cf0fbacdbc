"""The services behind the gateway, scripted: the contract's methods on real servers, with real keys and validation."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx2
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message

from callboard.agents.v1 import agents_pb2
from callboard.commands.v1 import commands_pb2
from callboard.errors.v1 import errors_pb2
from callboard.events.v1 import events_pb2
from callboard.health.v1 import health_pb2_grpc
from callboard.identity.v1 import identity_pb2_grpc
from callboard.sessions.v1 import sessions_pb2
from libs.errors import Refusal
from libs.identity.authenticator import Authenticator
from libs.readiness import IdentityServicer, ReadinessServicer
from libs.rpc import RpcServer, Service
from libs.telemetry import TaskWatch
from services.gateway.app import serve
from services.gateway.settings import GatewaySettings
from tests.support.rpc import KeyRing

SESSION_SERVICES = (
    "callboard.agents.v1.AgentService",
    "callboard.sessions.v1.SessionService",
    "callboard.events.v1.EventService",
)
COMMAND_SERVICES = ("callboard.commands.v1.CommandService", "callboard.commands.v1.DeadLetterService")
LIVE, ENDED = (("callboard-stream", "live"),), (("callboard-stream", "ended"),)
COMMAND_ID = "01a1fd32-38d5-77fc-965c-4448957ff1f0"


@dataclass
class Heard:
    """A call that a service got."""

    method: str
    request: Any
    metadata: dict[str, Any]


@dataclass
class Script:
    """What the services answer, by the method's short name: a message, a Refusal, or a function of the request."""

    answers: dict[str, Any] = field(default_factory=lambda: default_answers())  # noqa: PLW0108 - it stands below
    heard: list[Heard] = field(default_factory=list)
    database_is_up: bool = True
    broker_is_up: bool = True
    open_streams: int = 0

    def last(self, method: str) -> Heard:
        return [call for call in self.heard if call.method == method][-1]

    def said(self, method: str) -> Any:
        """The last request that a method got."""
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
        if isinstance(answer, Refusal):
            raise answer
        assert isinstance(answer, Message)
        return answer

    async def stream(self, method: str, request: Any, context: Any) -> AsyncIterator[Message]:
        self.hear(method, request, context)
        self.open_streams += 1
        try:
            answer = self.answers[method]
            if isinstance(answer, Refusal):
                raise answer
            async for response in answer(request, context):
                yield response
        finally:
            self.open_streams -= 1


class CountedIdentity(IdentityServicer):
    """Counts who asks."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def GetPrincipal(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._script.hear("GetPrincipal", request, context)
        return await super().GetPrincipal(request, context)


@dataclass
class Rig:
    """A gateway before scripted services."""

    address: str
    client: httpx2.AsyncClient
    script: Script
    keys: KeyRing
    stop: asyncio.Event
    serving: "asyncio.Task[None]"
    session: RpcServer
    command: RpcServer
    known: dict[str, str] = field(default_factory=dict)

    def key(self, role: str) -> str:
        if role not in self.known:
            self.known[role] = self.keys.add(role).secret_text
        return self.known[role]

    def auth(self, role: str = "admin") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key(role)}"}

    async def call(
        self, method: str, path: str, role: str = "admin", headers: dict[str, str] | None = None, **more: Any
    ) -> httpx2.Response:
        return await self.client.request(method, path, headers={**self.auth(role), **(headers or {})}, **more)

    @asynccontextmanager
    async def stream(
        self, path: str, role: str = "viewer", headers: dict[str, str] | None = None
    ) -> AsyncIterator[httpx2.Response]:
        accept = {"Accept": "text/event-stream", **self.auth(role), **(headers or {})}
        async with self.client.stream("GET", path, headers=accept) as response:
            yield response


@asynccontextmanager
async def gateway_rig(**settings: Any) -> AsyncIterator[Rig]:
    """Serves a gateway on a free port, before services on theirs."""
    script, keys = Script(), KeyRing()
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(TaskWatch())
        authenticator = Authenticator(keys.find)
        session = await stack.enter_async_context(
            _server(script, SESSION_SERVICES, authenticator, tasks, with_identity=True)
        )
        command = await stack.enter_async_context(_server(script, COMMAND_SERVICES, authenticator, tasks))
        own = GatewaySettings(
            **{"http_port": 0, "session_address": session.address, "command_address": command.address, **settings}
        )
        stop, address = asyncio.Event(), asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve(own, stop, on_ready=address.set_result))
        await asyncio.wait({serving, address}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
        base = f"http://{address.result()}"
        async with httpx2.AsyncClient(
            base_url=base, timeout=20, trust_env=False, headers={"Accept": "application/json"}
        ) as client:
            try:
                yield Rig(address.result(), client, script, keys, stop, serving, session, command)
            finally:
                stop.set()
                await serving


def _server(
    script: Script,
    names: tuple[str, ...],
    authenticator: Authenticator,
    tasks: TaskWatch,
    *,
    with_identity: bool = False,
) -> RpcServer:
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


def an_agent(agent_id: str = "clock") -> agents_pb2.Agent:
    agent = agents_pb2.Agent(agent_id=agent_id, connector=agents_pb2.Connector(kind="echo"), etag="7")
    agent.labels["team"] = "blue"
    agent.created_at.FromJsonString("2026-01-31T09:30:00.5Z")
    agent.updated_at.FromJsonString("2026-01-31T09:31:00Z")
    return agent


def a_session(session_id: str = "ses-1", **more: Any) -> sessions_pb2.Session:
    session = sessions_pb2.Session(
        session_id=session_id, agent_id="clock", state=sessions_pb2.SESSION_STATE_ACTIVE, etag="3", last_seq=4, **more
    )
    session.spec.session_type = sessions_pb2.SESSION_TYPE_CUSTOM
    session.spec.context_json = '{"goal": "to try"}'
    session.created_at.FromJsonString("2026-01-31T09:30:00Z")
    return session


def a_command(**more: Any) -> commands_pb2.Command:
    command = commands_pb2.Command(
        command_id=COMMAND_ID,
        correlation_id="cor-1",
        agent_id="clock",
        session_id="ses-1",
        type="run_tool",
        params_json='{"tool":"t"}',
        state=commands_pb2.COMMAND_STATE_QUEUED,
        **more,
    )
    command.options.max_attempts = 3
    command.options.timeout.seconds = 30
    command.enqueued_at.FromJsonString("2026-01-31T09:30:00Z")
    return command


def a_dead_letter() -> commands_pb2.DeadLetter:
    letter = commands_pb2.DeadLetter(command=a_command(), reason=errors_pb2.ERROR_REASON_TOOL_ERROR)
    letter.command.state = commands_pb2.COMMAND_STATE_FAILED
    letter.attempts.add(attempt=1, runner_id="r1", charged=True).error.code = errors_pb2.ERROR_REASON_TOOL_ERROR
    return letter


def an_event(seq: int, kind: str = "custom.note", payload: str = '{"a":1}') -> events_pb2.Event:
    event = events_pb2.Event(
        event_id=f"e{seq}", seq=seq, type=kind, level=events_pb2.EVENT_LEVEL_INFO, session_id="ses-1",
        agent_id="clock", payload_json=payload,
    )  # fmt: skip
    event.created_at.FromJsonString("2026-01-31T09:30:00Z")
    return event


def a_batch(*events: events_pb2.Event) -> events_pb2.StreamEventsResponse:
    streamed = [events_pb2.StreamedEvent(event=event, cursor=f"c{event.seq}") for event in events]
    return events_pb2.StreamEventsResponse(batch=events_pb2.EventBatch(events=streamed), cursor=f"c{events[-1].seq}")


def a_keepalive(cursor: str) -> events_pb2.StreamEventsResponse:
    return events_pb2.StreamEventsResponse(keepalive=events_pb2.Keepalive(), cursor=cursor)


def the_end() -> events_pb2.StreamEventsResponse:
    return events_pb2.StreamEventsResponse(end=events_pb2.StreamEnd(), cursor="end")


def default_answers() -> dict[str, Any]:
    accepted = commands_pb2.AcceptedCommand(command_id=COMMAND_ID, correlation_id="cor-1")

    async def idle(_: Any, context: Any) -> AsyncIterator[Message]:
        await context.send_initial_metadata(LIVE)
        await asyncio.Event().wait()
        yield the_end()

    return {
        "CreateAgent": lambda request: agents_pb2.CreateAgentResponse(agent=an_agent(request.agent.agent_id)),
        "GetAgent": lambda request: agents_pb2.GetAgentResponse(agent=an_agent(request.agent_id)),
        "ListAgents": agents_pb2.ListAgentsResponse(agents=[an_agent()], next_page_token="more"),
        "UpdateAgent": lambda request: agents_pb2.UpdateAgentResponse(agent=an_agent(request.agent.agent_id)),
        "DeleteAgent": agents_pb2.DeleteAgentResponse(),
        "StartSession": sessions_pb2.StartSessionResponse(session=a_session(), created=True),
        "StopSession": sessions_pb2.StopSessionResponse(session=a_session()),
        "RestartSession": sessions_pb2.RestartSessionResponse(session=a_session("ses-2"), previous=a_session()),
        "GetSession": sessions_pb2.GetSessionResponse(session=a_session()),
        "ListSessions": sessions_pb2.ListSessionsResponse(sessions=[a_session()]),
        "ListEvents": events_pb2.ListEventsResponse(events=[an_event(1)], next_page_token="more"),
        "AppendEvents": events_pb2.AppendEventsResponse(first_seq=5, last_seq=6),
        "StreamEvents": idle,
        "SubmitCommand": commands_pb2.SubmitCommandResponse(command=accepted),
        "GetCommand": commands_pb2.GetCommandResponse(command=a_command()),
        "ListCommands": commands_pb2.ListCommandsResponse(commands=[a_command()]),
        "CancelCommand": commands_pb2.CancelCommandResponse(command=a_command()),
        "GetDeadLetter": commands_pb2.GetDeadLetterResponse(dead_letter=a_dead_letter()),
        "ListDeadLetters": commands_pb2.ListDeadLettersResponse(dead_letters=[a_dead_letter()]),
        "RequeueDeadLetter": commands_pb2.RequeueDeadLetterResponse(command=accepted),
        "PurgeDeadLetter": commands_pb2.PurgeDeadLetterResponse(),
    }
