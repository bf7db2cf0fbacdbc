"""Listing dead letters by every filter, in pages, with all their attempts (C7)."""

from datetime import UTC, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from callboard.commands.v1 import commands_pb2
from callboard.commands.v1.commands_pb2 import (
    Command,
    CommandOptions,
    CommandSpec,
    GetDeadLetterRequest,
    ListDeadLettersRequest,
    SubmitCommandRequest,
)
from callboard.errors.v1 import errors_pb2
from libs.rpc.stubs import Stubs
from tests.support.client_calls import ended, make_agent, quickly, start, submit
from tests.support.dead_letters import listed, make_dead_letter, make_dead_letters, requeue
from tests.support.outcomes import rejected
from tests.support.suite import Suite

TOOL_ERROR, NOT_FOUND, TIMEOUT = (
    errors_pb2.ERROR_REASON_TOOL_ERROR,
    errors_pb2.ERROR_REASON_TOOL_NOT_FOUND,
    errors_pb2.ERROR_REASON_COMMAND_TIMEOUT,
)


async def dead_at(client: Stubs, command_id: str) -> Timestamp:
    response = await client.dead_letters.GetDeadLetter(GetDeadLetterRequest(command_id=command_id))
    return response.dead_letter.dead_at


async def test_filter_with_several_reasons_lists_the_newest_first(client: Stubs, session_id: str) -> None:
    codes = ("TOOL_ERROR", "TOOL_NOT_FOUND", "COMMAND_TIMEOUT", "TOOL_ERROR")
    error, missing, late, latest = [await make_dead_letter(client, code=code) for code in codes]
    assert await listed(client, reasons=[TOOL_ERROR, TIMEOUT]) == [latest, late, error]
    assert await listed(client, reason=NOT_FOUND) == await listed(client, reasons=[NOT_FOUND]) == [missing]
    assert await listed(client, reason=NOT_FOUND, reasons=[TIMEOUT]) == [late, missing]
    request = ListDeadLettersRequest(reasons=[TOOL_ERROR, TIMEOUT], page_size=2)
    first = await client.dead_letters.ListDeadLetters(request)
    rest = {"reasons": [TOOL_ERROR, TIMEOUT], "page_size": 2, "page_token": first.next_page_token}
    assert await listed(client, **rest) == [error]
    with rejected("PAGE_TOKEN_INVALID"):
        await listed(client, reasons=[TOOL_ERROR], page_token=first.next_page_token)


async def test_dead_after_is_inclusive_and_dead_before_is_exclusive(client: Stubs, session_id: str) -> None:
    ids = [await make_dead_letter(client) for _ in range(3)]
    second = await dead_at(client, ids[1])
    assert await listed(client, dead_after=second) == [ids[2], ids[1]]
    assert await listed(client, dead_before=second) == [ids[0]]
    moment = Timestamp()
    moment.FromDatetime(second.ToDatetime(tzinfo=UTC) + timedelta(microseconds=1))
    assert await listed(client, dead_after=second, dead_before=moment) == [ids[1]]
    with rejected("FIELD_INVALID") as caught:
        await listed(client, dead_after=second, dead_before=second)
    assert caught.value.violations[0].field == "dead_before"


async def test_filter_separates_requeued_dead_letters_from_others(client: Stubs, session_id: str) -> None:
    kept = await make_dead_letter(client)
    await requeue(client, kept)
    waiting = await make_dead_letter(client)
    requeued, others = commands_pb2.REQUEUED_FILTER_REQUEUED, commands_pb2.REQUEUED_FILTER_NOT_REQUEUED
    assert await listed(client, requeued=requeued) == [kept]
    assert waiting in await listed(client, requeued=others)
    assert kept not in await listed(client, requeued=others)
    assert kept in await listed(client, requeued=commands_pb2.REQUEUED_FILTER_ANY)
    assert kept in await listed(client)


async def test_dead_letters_can_be_filtered_by_correlation_id(client: Stubs, session_id: str) -> None:
    spec = CommandSpec(agent_id="clock", type="fail", params_json='{"retryable":false}', correlation_id="order/7")
    accepted = (await client.commands.SubmitCommand(SubmitCommandRequest(command=spec))).command
    await ended(client, accepted.command_id)
    other = await make_dead_letter(client)
    assert await listed(client, correlation_id="order/7") == [accepted.command_id]
    assert await listed(client, correlation_id=other) == [other]


async def test_filters_exclude_other_agents_sessions_and_tenants(suite: Suite, client: Stubs, session_id: str) -> None:
    await make_agent(client, "bell")
    bell = await start(client, "bell")
    ours, theirs = await make_dead_letter(client), await make_dead_letter(client, "bell")
    assert await listed(client, agent_id="bell") == await listed(client, session_id=bell.session_id) == [theirs]
    assert await listed(client, agent_id="clock", type="fail") == [ours]
    assert await listed(client, agent_id="clock", session_id=bell.session_id) == []
    assert await listed(suite.client(suite.new_key(tenant="globex"))) == []


async def test_pages_list_each_dead_letter_once_when_many_have_the_same_time(client: Stubs, session_id: str) -> None:
    ids = await make_dead_letters(client, 23)
    seen: list[str] = []
    token = ""
    while True:
        request = ListDeadLettersRequest(page_size=5, page_token=token)
        page = await client.dead_letters.ListDeadLetters(request)
        assert len(page.dead_letters) <= 5
        seen += [one.command.command_id for one in page.dead_letters]
        if not (token := page.next_page_token):
            break
    assert seen == ids[::-1]


async def test_dead_letter_shows_error_outcome_runner_and_duration_of_each_attempt(
    suite: Suite, client: Stubs, session_id: str
) -> None:
    accepted = await submit(client, "fail", {"message": "no luck"}, **quickly(max_attempts=3))
    await ended(client, accepted.command_id)
    response = await client.dead_letters.GetDeadLetter(GetDeadLetterRequest(command_id=accepted.command_id))
    attempts = response.dead_letter.attempts
    retrying, failed = commands_pb2.ATTEMPT_OUTCOME_RETRYING, commands_pb2.ATTEMPT_OUTCOME_FAILED
    assert [attempt.attempt for attempt in attempts] == [1, 2, 3]
    assert [attempt.outcome for attempt in attempts] == [retrying, retrying, failed]
    runner = str(await suite.value("select runner_id from command.runners"))
    for attempt in attempts:
        assert (attempt.error.code, attempt.error.message, attempt.runner_id) == (TOOL_ERROR, "no luck", runner)
        took = attempt.ended_at.ToNanoseconds() - attempt.started_at.ToNanoseconds()
        assert attempt.duration.ToNanoseconds() == took >= 0
        assert attempt.charged


@pytest.mark.parametrize(
    ("field", "value"),
    [("reasons", [0]), ("reasons", [TOOL_ERROR] * 2), ("requeued", 4), ("correlation_id", "a b"), ("page_size", 501)],
)
async def test_invalid_filter_is_rejected_naming_the_field(client: Stubs, field: str, value: Any) -> None:
    with rejected("FIELD_INVALID") as caught:
        await listed(client, **{field: value})
    assert caught.value.violations[0].field.startswith(field)


async def test_list_contains_the_complete_command(client: Stubs, session_id: str) -> None:
    dead = await make_dead_letter(client, note="whole", code="TOOL_NOT_FOUND")
    page = await client.dead_letters.ListDeadLetters(ListDeadLettersRequest())
    command: Command = page.dead_letters[0].command
    assert (command.command_id, command.session_id, command.error.code) == (dead, session_id, NOT_FOUND)
    assert '"note":"whole"' in command.params_json
    assert isinstance(command.options, CommandOptions)
    assert command.options.max_attempts == 3
