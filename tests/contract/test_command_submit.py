"""Submitting commands: what is accepted, what is rejected and why, and one command per key (C1, C2)."""

import pytest

from callboard.commands.v1.commands_pb2 import (
    AcceptedCommand,
    BulkSubmitCommandsRequest,
    CommandSpec,
    SubmitCommandRequest,
)
from callboard.errors.v1 import errors_pb2
from callboard.sessions.v1.sessions_pb2 import StopSessionRequest
from libs.rpc.stubs import Stubs
from tests.support.client_calls import make_agent, start, submit
from tests.support.eventually import eventually
from tests.support.outcomes import all_of, rejected
from tests.support.scripted_executor import ScriptedExecutor
from tests.support.stored_events import assert_gapless, audit_counts, events_of
from tests.support.suite import Suite


async def test_submit_without_an_active_session_is_rejected_with_the_reason(suite: Suite, client: Stubs) -> None:
    with rejected("AGENT_NOT_FOUND"):
        await submit(client, agent_id="nobody")
    with rejected("SESSION_NOT_ACTIVE"):
        await submit(client)
    spec = CommandSpec(session_id="nothing", type="echo")
    with rejected("SESSION_NOT_FOUND"):
        await client.commands.SubmitCommand(SubmitCommandRequest(command=spec))
    session = await start(client)
    stranger = suite.client(suite.new_key(tenant="globex"))
    for spec in (
        CommandSpec(type="echo", agent_id="clock"),
        CommandSpec(type="echo", session_id=session.session_id),
    ):
        with rejected("AGENT_NOT_FOUND" if spec.agent_id else "SESSION_NOT_FOUND"):
            await stranger.commands.SubmitCommand(SubmitCommandRequest(command=spec))
    await client.sessions.StopSession(StopSessionRequest(agent_id="clock"))
    with rejected("SESSION_NOT_ACTIVE") as caught:
        await client.commands.SubmitCommand(
            SubmitCommandRequest(command=CommandSpec(session_id=session.session_id, type="echo"))
        )
    assert caught.value.metadata["state"] == "stopped"
    assert await suite.value("select count(*) from command.commands") == 0


async def test_repeated_submit_with_a_key_makes_one_command(suite: Suite, client: Stubs) -> None:
    await suite.command_app()
    other = suite.client(command=1)
    await start(client)
    outcomes = await all_of(*(submit(one, request_id="k") for _ in range(15) for one in (client, other)))
    assert [o for o in outcomes if isinstance(o, Exception)] == []
    assert len({o.SerializeToString(deterministic=True) for o in outcomes}) == 1
    await client.sessions.StopSession(StopSessionRequest(agent_id="clock"))
    assert await submit(client, request_id="k") == outcomes[0]
    with rejected("IDEMPOTENCY_KEY_REUSED"):
        await submit(client, "echo", {"other": 1}, request_id="k")
    assert await suite.value("select count(*) from command.commands") == 1


async def test_repeated_submit_is_answered_after_its_command_was_deleted(suite: Suite, client: Stubs) -> None:
    """A command may expire before its key does. The answer is then what the command's id contains."""
    session = await start(client)
    first = await submit(client, request_id="k")
    named = CommandSpec(session_id=session.session_id, type="echo", request_id="s", correlation_id="mine")
    by_session = (await client.commands.SubmitCommand(SubmitCommandRequest(command=named))).command
    await suite.rows("delete from command.ready")
    await suite.rows("delete from command.commands")
    again = await submit(client, request_id="k")
    assert abs(again.enqueued_at.ToMilliseconds() - first.enqueued_at.ToMilliseconds()) < 1000
    again.enqueued_at.CopyFrom(first.enqueued_at)
    assert again == AcceptedCommand(
        command_id=first.command_id, correlation_id=first.command_id, agent_id="clock", enqueued_at=first.enqueued_at
    )
    again = (await client.commands.SubmitCommand(SubmitCommandRequest(command=named))).command
    again.enqueued_at.CopyFrom(by_session.enqueued_at)
    assert again == by_session
    assert await suite.value("select count(*) from command.commands") == 0


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ('{"a": "\\u0000"}', "FIELD_INVALID"),
        ('{"a": "\\ud800"}', "FIELD_INVALID"),
        ('{"a": 1e400}', "FIELD_INVALID"),
        ("[1]", "FIELD_INVALID"),
        ("{", "FIELD_INVALID"),
        ('{"a":' * 65 + "1" + "}" * 65, "FIELD_INVALID"),
    ],
)
async def test_parameters_that_cannot_be_stored_are_rejected_naming_the_field(
    client: Stubs, params: str, reason: str
) -> None:
    await start(client)
    spec = CommandSpec(agent_id="clock", type="echo", params_json=params)
    with rejected(reason) as caught:
        await client.commands.SubmitCommand(SubmitCommandRequest(command=spec))
    assert [violation.field for violation in caught.value.violations] == ["command.params_json"]


async def test_each_command_of_a_bulk_submit_has_its_own_answer(suite: Suite, client: Stubs) -> None:
    await start(client)
    await make_agent(client, "idle")
    good = CommandSpec(agent_id="clock", type="echo")
    specs = [
        good,
        CommandSpec(agent_id="nobody", type="echo"),
        CommandSpec(agent_id="idle", type="echo"),
        CommandSpec(agent_id="clock", type="echo", params_json="[]"),
        CommandSpec(agent_id="clock", type="echo", request_id="k"),
        CommandSpec(agent_id="clock", type="echo", request_id="k"),
        CommandSpec(agent_id="clock", type="other", request_id="k"),
        CommandSpec(session_id="nothing", type="echo"),
        good,
    ]
    answer = await client.commands.BulkSubmitCommands(BulkSubmitCommandsRequest(commands=specs))
    reasons = [
        errors_pb2.ErrorReason.Name(result.refusal.reason).removeprefix("ERROR_REASON_")
        if result.HasField("refusal")
        else "ok"
        for result in answer.results
    ]
    assert reasons == [
        "ok", "AGENT_NOT_FOUND", "SESSION_NOT_ACTIVE", "FIELD_INVALID", "ok", "ok", "IDEMPOTENCY_KEY_REUSED",
        "SESSION_NOT_FOUND", "ok",
    ]  # fmt: skip
    assert answer.results[4].command == answer.results[5].command
    assert await suite.value("select count(*) from command.commands") == 3


async def test_thousand_commands_of_one_bulk_submit_run_once_each(
    suite: Suite, client: Stubs, session_id: str, executor: ScriptedExecutor
) -> None:
    spec = CommandSpec(agent_id="clock", type="echo")
    answer = await client.commands.BulkSubmitCommands(BulkSubmitCommandsRequest(commands=[spec] * 1000))
    assert all(result.HasField("command") for result in answer.results)

    async def are_done() -> bool:
        done = await suite.value("select count(*) from command.commands where state = 'succeeded'")
        assert done == 1000, done
        return True

    await eventually(are_done, 30)
    assert len(executor.began) == len(set(executor.began)) == 1000
    events = await events_of(client, session_id)
    assert_gapless(events)
    assert audit_counts(events) == {"session.started": 1, "command.enqueued": 1000, "command.completed": 1000}
    assert await suite.value("select count(*) from command.ready") == 0
