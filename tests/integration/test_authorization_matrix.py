"""Every method of every service for every kind of caller. Generated, so that no new method is forgotten."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from callboard import Client
from callboard.agents.v1 import agents_pb2
from callboard.auth.v1 import auth_pb2
from callboard.commands.v1 import commands_pb2
from callboard.events.v1 import events_pb2
from callboard.sessions.v1 import sessions_pb2
from libs.contract import all_methods
from libs.rpc import service_error_from_rpc
from libs.rpc.stubs import Stubs
from tests.support.client_calls import make_agent, start, submit
from tests.support.sample_requests import sample_message
from tests.support.suite import TENANT, Suite, running_suite

COMMAND_SIDE = {"callboard.commands.v1"}
OPEN = {"/callboard.health.v1.ReadinessService/GetReadiness"}
COMMAND = "00000000-0000-7000-8000-000000000000"
ROLES = {"viewer": auth_pb2.ROLE_VIEWER, "operator": auth_pb2.ROLE_OPERATOR, "admin": auth_pb2.ROLE_ADMIN}

# Requests that need more than the ids of an agent, a session or a command. The others are made from the contract.
GIVEN: dict[str, Callable[[str, str, str], Message]] = {
    "CreateAgent": lambda agent, *_: agents_pb2.CreateAgentRequest(agent=_echo(agent)),
    "UpdateAgent": lambda agent, *_: agents_pb2.UpdateAgentRequest(
        agent=_echo(agent), update_mask=FieldMask(paths=["display_name"])
    ),
    "StopSession": lambda _, session, __: sessions_pb2.StopSessionRequest(session_id=session),
    "AppendEvents": lambda _, session, __: events_pb2.AppendEventsRequest(
        session_id=session, events=[events_pb2.NewEvent(type="custom.note")]
    ),
    "SubmitCommand": lambda _, session, __: commands_pb2.SubmitCommandRequest(
        command=commands_pb2.CommandSpec(session_id=session, type="echo")
    ),
    "BulkSubmitCommands": lambda _, session, __: commands_pb2.BulkSubmitCommandsRequest(
        commands=[commands_pb2.CommandSpec(session_id=session, type="echo")]
    ),
    "CancelCommands": lambda _, session, __: commands_pb2.CancelCommandsRequest(
        filter=commands_pb2.OpenCommandFilter(session_id=session)
    ),
    "RequeueDeadLetters": lambda _, __, command: commands_pb2.RequeueDeadLettersRequest(command_ids=[command]),
    "PurgeDeadLetters": lambda _, __, command: commands_pb2.PurgeDeadLettersRequest(command_ids=[command]),
}


def _echo(agent_id: str) -> agents_pb2.Agent:
    return agents_pb2.Agent(agent_id=agent_id, connector=agents_pb2.Connector(kind="echo"))


def methods() -> list[MethodDescriptor]:
    """Every method of the contract."""
    return [method.descriptor for method in all_methods()]


def request_for(method: MethodDescriptor, agent_id: str, session_id: str, command_id: str) -> Message:
    """A valid request. A new method that needs more than ids fails the matrix until it is in GIVEN."""
    if method.name in GIVEN:
        return GIVEN[method.name](agent_id, session_id, command_id)
    ids = {"agent_id": agent_id, "session_id": session_id, "command_id": command_id}
    return sample_message(method.input_type, ids)


def path_of(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


class Caller:
    """Calls any method with any credentials, without the client, which hides details."""

    def __init__(self, suite: Suite, agent_id: str, session_id: str, command_id: str) -> None:
        self._channels = {
            True: grpc.aio.insecure_channel(suite.session_addresses[0]),
            False: grpc.aio.insecure_channel(suite.command_addresses[0]),
        }
        self._about = (agent_id, session_id, command_id)

    async def reason(self, method: MethodDescriptor, key: str | None) -> tuple[str, Message | None]:
        """The error's reason, or OK and the (first) response."""
        request = request_for(method, *self._about)
        answer_type = message_factory.GetMessageClass(method.output_type)
        metadata = (("authorization", f"Bearer {key}"),) if key else ()
        channel = self._channels[method.containing_service.file.package not in COMMAND_SIDE]
        call: Any = None
        try:
            if method.server_streaming:
                call = channel.unary_stream(
                    path_of(method), type(request).SerializeToString, answer_type.FromString
                )(request, metadata=metadata, timeout=10)  # fmt: skip
                return "OK", await call.read()
            call = channel.unary_unary(path_of(method), type(request).SerializeToString, answer_type.FromString)
            return "OK", await call(request, metadata=metadata, timeout=10)
        except grpc.aio.AioRpcError as error:
            return service_error_from_rpc(error).reason.value, None
        finally:
            if method.server_streaming and call is not None:
                call.cancel()

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()


@pytest.fixture
async def suite(database_url: str, app_database_url: str, nats_server: Any) -> AsyncIterator[Suite]:
    async with running_suite(database_url, app_database_url, nats_server.url, commands=1) as running:
        yield running


@pytest.fixture
async def caller(suite: Suite) -> AsyncIterator[Caller]:
    client = suite.client()
    await make_agent(client)
    session = await start(client)
    command = await submit(client)
    made = Caller(suite, "clock", session.session_id, command.command_id)
    yield made
    await made.close()


async def test_calls_without_credentials_are_rejected_except_readiness(caller: Caller) -> None:
    for method in methods():
        expected = "OK" if path_of(method) in OPEN else "CREDENTIALS_MISSING"
        assert (await caller.reason(method, None))[0] == expected, path_of(method)


async def test_calls_with_a_wrong_key_are_rejected(suite: Suite, caller: Caller) -> None:
    wrong = suite.key[:-4] + ("AAAA" if not suite.key.endswith("AAAA") else "BBBB")
    for method in methods():
        if path_of(method) not in OPEN:
            assert (await caller.reason(method, wrong))[0] == "CREDENTIALS_INVALID", path_of(method)


@pytest.mark.parametrize("role", ["viewer", "operator"])
async def test_role_is_checked_before_anything_is_looked_up(suite: Suite, caller: Caller, role: str) -> None:
    key = suite.new_key(role)
    for method in methods():
        required = method.GetOptions().Extensions[auth_pb2.required_role]
        if ROLES[role] < required:
            assert (await caller.reason(method, key))[0] == "ROLE_REQUIRED", path_of(method)


async def test_other_tenants_get_the_same_error_as_for_unknown_ids(suite: Suite, caller: Caller) -> None:
    foreign = suite.new_key("admin", tenant="other")
    nowhere = Caller(suite, "nowhere", "ses-nowhere", COMMAND)
    for method in methods():
        if method.name in ("CreateAgent", "GetReadiness", "GetPrincipal"):
            continue
        reason, answer = await caller.reason(method, foreign)
        assert reason == (await nowhere.reason(method, foreign))[0], path_of(method)
        if answer is None:
            assert reason.endswith("_NOT_FOUND"), (path_of(method), reason)
        elif "results" in answer.DESCRIPTOR.fields_by_name:
            assert getattr(answer, "results")[0].refusal.message  # noqa: B009 - of several types
        else:
            assert not [value for field, value in answer.ListFields() if field.is_repeated], answer
    await nowhere.close()


async def test_same_ids_in_two_tenants_are_separate(suite: Suite) -> None:
    ours, theirs = suite.client(), suite.client(suite.new_key("admin", tenant="other"))
    for client in (ours, theirs):
        await make_agent(client, "twin")
        await start(client, "twin", spec=sessions_pb2.SessionSpec(session_id="same"))
    await theirs.sessions.StopSession(sessions_pb2.StopSessionRequest(agent_id="twin"))
    assert await _state(ours) == sessions_pb2.SESSION_STATE_ACTIVE
    assert await _state(theirs) == sessions_pb2.SESSION_STATE_STOPPED
    address = suite.session_addresses[0]
    async with (
        Client(suite.key, session_address=address) as public,
        aclosing(public.follow(session_id="same")) as events,
    ):
        assert (await anext(events)).type == "session.started"
    assert await suite.value("select count(*) from session.sessions where session_id = 'same'") == 2
    assert TENANT != "other"


async def _state(client: Stubs) -> int:
    answer = await client.sessions.GetSession(sessions_pb2.GetSessionRequest(session_id="same"))
    return answer.session.state
