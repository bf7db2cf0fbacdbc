"""Failed attempts are retried while that can help, and end as a dead letter (C6)."""

from datetime import UTC, datetime

import orjson
import pytest

from callboard.commands.v1.commands_pb2 import GetDeadLetterRequest
from callboard.errors.v1 import errors_pb2
from libs.rpc.stubs import Stubs
from tests.support.client_calls import FAILED, SUCCEEDED, ended, quickly, submit
from tests.support.eventually import eventually
from tests.support.scripted_executor import ScriptedExecutor
from tests.support.stored_events import audit_counts, event_types, events_of
from tests.support.suite import Suite


async def test_failed_attempt_is_retried_with_backoff_until_it_succeeds(client: Stubs, session_id: str) -> None:
    accepted = await submit(client, "fail", {"times": 2}, **quickly())
    command = await ended(client, accepted.command_id)
    assert (command.state, command.attempt, command.charged_attempts) == (SUCCEEDED, 3, 3)
    assert not command.HasField("error")
    assert await event_types(client, session_id, accepted.command_id) == [
        "command.enqueued", "command.started", "command.retrying", "command.started", "command.retrying",
        "command.started", "command.completed",
    ]  # fmt: skip
    retrying = [event for event in await events_of(client, session_id) if event.type == "command.retrying"]
    payload = orjson.loads(retrying[0].payload_json)
    assert (payload["attempt"], payload["error"]["code"], payload["charged"]) == (1, "TOOL_ERROR", True)
    next_one = [event for event in await events_of(client, session_id) if event.type == "command.started"][1]
    assert datetime.fromisoformat(payload["nextAttemptAt"]) <= next_one.created_at.ToDatetime(UTC)


async def test_last_failed_attempt_writes_the_dead_letter_in_its_transaction(
    suite: Suite, client: Stubs, session_id: str
) -> None:
    accepted = await submit(client, "fail", {"message": "always"}, max_attempts=2, **quickly())
    command = await ended(client, accepted.command_id)
    assert (command.state, command.attempt, command.error.message) == (FAILED, 2, "always")
    assert (await event_types(client, session_id, accepted.command_id))[-2:] == [
        "command.failed",
        "command.dead_lettered",
    ]
    assert await suite.value(
        "select count(distinct created_at) from session.events"
        " where type in ('command.failed', 'command.dead_lettered')"
    ) == 1  # fmt: skip
    dead_letter = (
        await client.dead_letters.GetDeadLetter(GetDeadLetterRequest(command_id=accepted.command_id))
    ).dead_letter
    assert (dead_letter.command.command_id, dead_letter.reason) == (
        accepted.command_id,
        errors_pb2.ERROR_REASON_TOOL_ERROR,
    )
    assert [(attempt.attempt, attempt.charged, attempt.error.message) for attempt in dead_letter.attempts] == [
        (1, True, "always"), (2, True, "always"),
    ]  # fmt: skip
    assert audit_counts(await events_of(client, session_id))["command.failed"] == 1
    await eventually(lambda: suite.value("select published from command.dead_letters"))


async def test_failure_that_is_not_retryable_becomes_a_dead_letter_at_once(client: Stubs, session_id: str) -> None:
    accepted = await submit(client, "fail", {"retryable": False, "code": "TOOL_NOT_FOUND"})
    command = await ended(client, accepted.command_id)
    assert (command.state, command.attempt) == (FAILED, 1)
    assert command.error.code == errors_pb2.ERROR_REASON_TOOL_NOT_FOUND


async def test_executor_exception_is_retried_and_its_text_is_not_exposed(client: Stubs, session_id: str) -> None:
    accepted = await submit(client, "fault", max_attempts=2, **quickly())
    command = await ended(client, accepted.command_id)
    assert (command.state, command.attempt) == (FAILED, 2)
    assert command.error.code == errors_pb2.ERROR_REASON_INTERNAL
    assert "scripted" not in command.error.message


@pytest.mark.parametrize("text", ["nul \\u0000 inside", "lone \\ud800 inside"])
async def test_failure_message_with_unstorable_characters_still_ends_the_command(
    client: Stubs, session_id: str, text: str
) -> None:
    accepted = await submit(client, "fail", {"escaped": text}, max_attempts=2, **quickly())
    command = await ended(client, accepted.command_id, 12)
    assert (command.state, command.attempt) == (FAILED, 2)
    assert "inside" in command.error.message


async def test_result_that_the_database_rejects_becomes_a_dead_letter(
    suite: Suite, client: Stubs, session_id: str
) -> None:
    await suite.rows("alter table command.commands add constraint odd check (result not like '%poison%')")
    bad = await submit(client, "echo", {"a": "poison"})
    good = await submit(client, "echo", {"a": "fine"})
    command = await ended(client, bad.command_id, 12)
    assert (command.state, command.error.code) == (FAILED, errors_pb2.ERROR_REASON_INTERNAL)
    assert (await ended(client, good.command_id)).state == SUCCEEDED


async def test_command_is_released_uncharged_at_most_twenty_times(
    suite: Suite, client: Stubs, session_id: str, executor: ScriptedExecutor
) -> None:
    accepted = await submit(client, "fail", {"charged": False, "code": "CONNECTION_LOST"}, max_attempts=1)
    command = await ended(client, accepted.command_id, 40)
    assert (command.state, command.attempt, command.charged_attempts) == (FAILED, 21, 0)
    dead_letter = (
        await client.dead_letters.GetDeadLetter(GetDeadLetterRequest(command_id=accepted.command_id))
    ).dead_letter
    assert dead_letter.reason == errors_pb2.ERROR_REASON_RELEASED_TOO_OFTEN
    assert len(executor.began) == 21
