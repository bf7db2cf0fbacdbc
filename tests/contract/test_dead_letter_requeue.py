"""Requeueing dead letters: with changes, in bulk, and each once (C7)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from callboard.commands.v1 import commands_pb2
from callboard.commands.v1.commands_pb2 import RequeueOptions
from callboard.errors.v1 import errors_pb2
from callboard.events.v1.events_pb2 import ListEventsRequest
from callboard.sessions.v1.sessions_pb2 import StopSessionRequest
from libs.rpc.stubs import Stubs
from tests.support.client_calls import SUCCEEDED, ended, get_command, make_agent, start, stop, submit
from tests.support.dead_letters import make_dead_letter, make_dead_letters, outcomes, requeue, requeue_many, successor
from tests.support.outcomes import all_of, rejected
from tests.support.scripted_executor import ScriptedExecutor
from tests.support.suite import Suite

NOWHERE = "00000000-0000-7000-8000-000000000000"


# one dead letter


async def test_requeue_without_changes_runs_the_command_as_it_was(client: Stubs, session_id: str) -> None:
    accepted = await submit(
        client, "fail", {"retryable": False, "n": 1}, max_attempts=7, timeout=Duration(seconds=9),
        priority=commands_pb2.COMMAND_PRIORITY_LOW,
    )  # fmt: skip
    old = await ended(client, accepted.command_id)
    new = await get_command(client, (await requeue(client, accepted.command_id)).command_id)
    assert (new.params_json, new.type, new.correlation_id) == (old.params_json, "fail", old.correlation_id)
    assert (new.options.max_attempts, new.options.timeout.seconds, new.options.priority) == (7, 9, 3)


async def test_requeue_can_change_parameters_attempts_timeout_priority_and_time(client: Stubs, session_id: str) -> None:
    dead = await make_dead_letter(client)
    due = Timestamp()
    due.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
    options = RequeueOptions(
        max_attempts=1, timeout=Duration(seconds=2), priority=commands_pb2.COMMAND_PRIORITY_HIGH, not_before=due
    )
    accepted = await requeue(client, dead, params_json='{"times": 0}', options=options)
    new = await get_command(client, accepted.command_id)
    assert orjson.loads(new.params_json) == {"times": 0}
    assert (new.options.max_attempts, new.options.timeout.seconds, new.options.priority) == (1, 2, 1)
    assert (new.state, new.requeued_from) == (commands_pb2.COMMAND_STATE_SCHEDULED, dead)
    assert new.next_attempt_at.ToDatetime() == due.ToDatetime()
    assert await successor(client, dead) == accepted.command_id


async def test_requeue_with_corrected_parameters_succeeds(client: Stubs, session_id: str) -> None:
    dead = await make_dead_letter(client)
    accepted = await requeue(client, dead, params_json='{"times": 0}')
    assert (await ended(client, accepted.command_id)).state == SUCCEEDED
    page = await client.events.ListEvents(ListEventsRequest(session_id=session_id, page_size=100))
    events = [event for event in page.events if event.command_id == accepted.command_id]
    assert [event.type for event in events][:2] == ["command.enqueued", "command.requeued"]
    assert orjson.loads(events[1].payload_json) == {"requeuedFrom": dead}


async def test_requeue_with_empty_parameters_replaces_the_old_ones(client: Stubs, session_id: str) -> None:
    one, other = await make_dead_letter(client), await make_dead_letter(client)
    emptied, kept = await requeue(client, one, params_json=""), await requeue(client, other)
    assert (await get_command(client, emptied.command_id)).params_json == "{}"
    assert "retryable" in (await get_command(client, kept.command_id)).params_json


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"params_json": "[]"}, "params_json"),
        ({"params_json": "{"}, "params_json"),
        ({"params_json": '{"a":"' + "x" * 1048576 + '"}'}, "params_json"),
        ({"options": RequeueOptions(max_attempts=26)}, "options.max_attempts"),
        ({"options": RequeueOptions(timeout=Duration(nanos=999_999_999))}, "options.timeout"),
        ({"options": RequeueOptions(timeout=Duration(seconds=86401))}, "options.timeout"),
        ({"options": RequeueOptions(priority=4)}, "options.priority"),  # type: ignore[arg-type]
        ({"options": RequeueOptions(not_before=Timestamp(seconds=4102444800))}, "options.not_before"),
        ({"options": RequeueOptions(session_id="a b")}, "options.session_id"),
    ],
)
async def test_requeue_with_changes_out_of_range_is_rejected(
    client: Stubs, session_id: str, changes: dict[str, Any], field: str
) -> None:
    dead = await make_dead_letter(client)
    with rejected("FIELD_INVALID") as caught:
        await requeue(client, dead, **changes)
    assert caught.value.violations[0].field == field
    assert not await successor(client, dead)


async def test_requeue_must_name_one_of_several_live_sessions(
    suite: Suite, client: Stubs, executor: ScriptedExecutor
) -> None:
    await suite.runner(executor)
    await make_agent(client, "twins", exclusive=False)
    await make_agent(client, "other")
    one, elsewhere = await start(client, "twins"), await start(client, "other")
    dead = await make_dead_letter(client, "twins")
    two = await start(client, "twins")

    async def assert_refused(reason: str, options: RequeueOptions) -> None:
        with rejected(reason):
            await requeue(client, dead, options=options)
        foreseen = await requeue_many(client, command_ids=[dead], options=options, dry_run=True)
        assert [errors_pb2.ErrorReason.Name(each.refusal.reason) for each in foreseen.results] == [
            f"ERROR_REASON_{reason}"
        ]

    await assert_refused("SESSION_AMBIGUOUS", RequeueOptions())
    await assert_refused("SESSION_NOT_FOUND", RequeueOptions(session_id=elsewhere.session_id))
    await assert_refused("SESSION_NOT_FOUND", RequeueOptions(session_id="nothing"))
    await stop(client, session_id=one.session_id)
    three = await start(client, "twins")
    await assert_refused("SESSION_NOT_ACTIVE", RequeueOptions(session_id=one.session_id))
    options = RequeueOptions(session_id=three.session_id)
    assert (await requeue_many(client, command_ids=[dead], options=options, dry_run=True)).requeued == 1
    accepted = await requeue(client, dead, "key", options=options)
    assert (accepted.session_id, accepted.agent_id) == (three.session_id, "twins")
    assert await requeue(client, dead, "key", options=options) == accepted
    with rejected("IDEMPOTENCY_KEY_REUSED"):
        await requeue(client, dead, "key", options=RequeueOptions(session_id=two.session_id))
    await ended(client, accepted.command_id)
    again = await requeue_many(client, filter={"agent_id": "twins"}, options=RequeueOptions(session_id=two.session_id))
    assert [each.command.session_id for each in again.results] == [two.session_id]


async def test_idempotency_key_covers_the_changes_of_a_requeue(client: Stubs, session_id: str) -> None:
    dead = await make_dead_letter(client)
    first = await requeue(client, dead, "key", params_json='{"times": 0}')
    assert await requeue(client, dead, "key", params_json='{"times": 0}') == first
    for changes in ({}, {"params_json": '{"times": 1}'}, {"options": RequeueOptions(max_attempts=1)}):
        with rejected("IDEMPOTENCY_KEY_REUSED"):
            await requeue(client, dead, "key", **changes)


async def test_second_requeue_is_rejected_with_the_id_of_the_first_one(client: Stubs, session_id: str) -> None:
    dead = await make_dead_letter(client)
    accepted = await requeue(client, dead)
    with rejected("DEAD_LETTER_REQUEUED") as caught:
        await requeue(client, dead)
    assert caught.value.metadata == {"command_id": dead, "requeued_as": accepted.command_id}


async def test_requeue_without_a_live_session_is_rejected_naming_the_agent(client: Stubs, session_id: str) -> None:
    dead = await make_dead_letter(client)
    await client.sessions.StopSession(StopSessionRequest(agent_id="clock"))
    with rejected("SESSION_NOT_ACTIVE") as caught:
        await requeue(client, dead)
    assert (caught.value.message, caught.value.metadata) == (
        "agent clock has no active session; start one", {"agent_id": "clock"}
    )  # fmt: skip


# many dead letters


async def test_bulk_requeue_answers_each_id_in_order(suite: Suite, client: Stubs, session_id: str) -> None:
    fresh, before, other = (
        await make_dead_letter(client),
        await make_dead_letter(client),
        await make_dead_letter(client),
    )
    made = await requeue(client, before)
    answer = await requeue_many(client, command_ids=[fresh, NOWHERE, before, "no id at all", other])
    assert [one.command_id for one in answer.results] == [fresh, NOWHERE, before, "no id at all", other]
    names = ["ok", "DEAD_LETTER_NOT_FOUND", "DEAD_LETTER_REQUEUED", "DEAD_LETTER_NOT_FOUND", "ok"]
    assert outcomes(answer) == names
    assert (answer.requeued, answer.refused, answer.more) == (2, 3, False)
    assert dict(answer.results[2].refusal.metadata) == {"command_id": before, "requeued_as": made.command_id}
    for one in (answer.results[0], answer.results[4]):
        assert await successor(client, one.command_id) == one.command.command_id
        assert (await get_command(client, one.command.command_id)).requeued_from == one.command_id
    stranger = suite.client(suite.new_key(tenant="globex"))
    assert set(outcomes(await requeue_many(stranger, command_ids=[fresh, other]))) == {"DEAD_LETTER_NOT_FOUND"}


async def test_options_of_a_bulk_requeue_apply_to_each_and_keep_parameters(client: Stubs, session_id: str) -> None:
    ids = [await make_dead_letter(client, n=n) for n in range(2)]
    answer = await requeue_many(client, command_ids=ids, options=RequeueOptions(max_attempts=1))
    for n, one in enumerate(answer.results):
        command = await get_command(client, one.command.command_id)
        assert (command.options.max_attempts, orjson.loads(command.params_json)["n"]) == (1, n)


async def test_bulk_requeue_handles_large_parameters(client: Stubs, session_id: str) -> None:
    ids = [await make_dead_letter(client, blob="x" * 1_000_000) for _ in range(18)]  # twice what is read in one step
    answer = await requeue_many(client, command_ids=[ids[0], "none", *ids[1:], NOWHERE])
    assert (answer.requeued, answer.refused) == (18, 2)
    assert [one.command_id for one in answer.results if one.HasField("command")] == ids


async def test_concurrent_bulk_requeues_requeue_each_dead_letter_once(client: Stubs, session_id: str) -> None:
    ids = await make_dead_letters(client, 40)
    answers = await all_of(*(requeue_many(client, command_ids=ids[::step]) for step in (1, -1, 1, -1)))
    assert sum(answer.requeued for answer in answers) == 40
    assert {name for answer in answers for name in outcomes(answer)} == {"ok", "DEAD_LETTER_REQUEUED"}
    made = [one.command.command_id for answer in answers for one in answer.results if one.HasField("command")]
    assert len(set(made)) == 40
