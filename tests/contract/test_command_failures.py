"""Attempts that fail: retried while that helps, and a dead letter in the end (C6)."""

from datetime import UTC, datetime

import orjson
import pytest

from callboard.commands.v1.commands_pb2 import GetDeadLetterRequest
from callboard.errors.v1 import errors_pb2
from libs.rpc.stubs import Stubs
from tests.support.client_calls import FAILED, SUCCEEDED, ended, quickly, submit
from tests.support.eventually import eventually
from tests.support.scripted_executor import ScriptedExecutor
from tests.support.stored_events import audits_of, events_of, told
from tests.support.suite import Suite


async def test_a_failure_is_retried_with_backoff_until_it_works(client: Stubs, session_id: str) -> None:
    accepted = await submit(client, "fail", {"times": 2}, **quickly())
    command = await ended(client, accepted.command_id)
    assert (command.state, command.attempt, command.charged_attempts) == (SUCCEEDED, 3, 3)
    assert not command.HasField("error")
    assert await told(client, session_id, accepted.command_id) == [
        "command.enqueued", "command.started", "command.retrying", "command.started", "command.retrying",
        "command.started", "command.completed",
    ]  # fmt: skip
    retrying = [event for event in await events_of(client, session_id) if event.type == "command.retrying"]
    payload = orjson.loads(retrying[0].payload_json)
    assert (payload["attempt"], payload["error"]["code"], payload["charged"]) == (1, "TOOL_ERROR", True)
    next_one = [event for event in await events_of(client, session_id) if event.type == "command.started"][1]
    assert datetime.fromisoformat(payload["nextAttemptAt"]) <= next_one.created_at.ToDatetime(UTC)


async def test_a_command_that_is_out_of_attempts_is_a_dead_letter_in_the_same_transaction(
    suite: Suite, client: Stubs, session_id: str
) -> None:
    accepted = await submit(client, "fail", {"message": "always"}, max_attempts=2, **quickly())
    command = await ended(client, accepted.command_id)
    assert (command.state, command.attempt, command.error.message) == (FAILED, 2, "always")
    assert (await told(client, session_id, accepted.command_id))[-2:] == ["command.failed", "command.dead_lettered"]
    assert await suite.value(
        "select count(distinct created_at) from session.events"
        " where type in ('command.failed', 'command.dead_lettered')"
    ) == 1  # fmt: skip
    letter = (await client.dead_letters.GetDeadLetter(GetDeadLetterRequest(command_id=accepted.command_id))).dead_letter
    assert (letter.command.command_id, letter.reason) == (accepted.command_id, errors_pb2.ERROR_REASON_TOOL_ERROR)
    assert [(attempt.attempt, attempt.charged, attempt.error.message) for attempt in letter.attempts] == [
        (1, True, "always"), (2, True, "always"),
    ]  # fmt: skip
    assert audits_of(await events_of(client, session_id))["command.failed"] == 1
    await eventually(lambda: suite.value("select published from command.dead_letters"))


async def test_a_failure_that_is_not_retryable_is_a_dead_letter_at_once(client: Stubs, session_id: str) -> None:
    accepted = await submit(client, "fail", {"retryable": False, "code": "TOOL_NOT_FOUND"})
    command = await ended(client, accepted.command_id)
    assert (command.state, command.attempt) == (FAILED, 1)
    assert command.error.code == errors_pb2.ERROR_REASON_TOOL_NOT_FOUND


async def test_a_fault_of_the_executor_is_retried_and_tells_nothing_of_its_inside(
    client: Stubs, session_id: str
) -> None:
    accepted = await submit(client, "fault", max_attempts=2, **quickly())
    command = await ended(client, accepted.command_id)
    assert (command.state, command.attempt) == (FAILED, 2)
    assert command.error.code == errors_pb2.ERROR_REASON_INTERNAL
    assert "scripted" not in command.error.message


@pytest.mark.parametrize("text", ["nul \\u0000 inside", "lone \\ud800 inside"])
async def test_a_failure_whose_message_cannot_be_stored_as_it_is_still_ends_its_command(
    client: Stubs, session_id: str, text: str
) -> None:
    accepted = await submit(client, "fail", {"escaped": text}, max_attempts=2, **quickly())
    command = await ended(client, accepted.command_id, 12)
    assert (command.state, command.attempt) == (FAILED, 2)
    assert "inside" in command.error.message


async def test_an_end_that_the_database_refuses_is_a_dead_letter_and_not_a_loop(
    suite: Suite, client: Stubs, session_id: str
) -> None:
    await suite.rows("alter table command.commands add constraint odd check (result not like '%poison%')")
    bad = await submit(client, "echo", {"a": "poison"})
    good = await submit(client, "echo", {"a": "fine"})
    command = await ended(client, bad.command_id, 12)
    assert (command.state, command.error.code) == (FAILED, errors_pb2.ERROR_REASON_INTERNAL)
    assert (await ended(client, good.command_id)).state == SUCCEEDED


async def test_uncharged_failures_give_a_command_back_twenty_times_and_no_more(
    suite: Suite, client: Stubs, session_id: str, executor: ScriptedExecutor
) -> None:
    accepted = await submit(client, "fail", {"charged": False, "code": "CONNECTION_LOST"}, max_attempts=1)
    command = await ended(client, accepted.command_id, 40)
    assert (command.state, command.attempt, command.charged_attempts) == (FAILED, 21, 0)
    letter = (await client.dead_letters.GetDeadLetter(GetDeadLetterRequest(command_id=accepted.command_id))).dead_letter
    assert letter.reason == errors_pb2.ERROR_REASON_RELEASED_TOO_OFTEN
    assert len(executor.began) == 21
