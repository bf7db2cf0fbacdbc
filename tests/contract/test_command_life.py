"""Commands from their submit to their one outcome (C1 to C7)."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from callboard.aio import Client
from callboard.commands.v1 import commands_pb2
from callboard.commands.v1.commands_pb2 import (
    BulkSubmitCommandsRequest,
    CancelCommandRequest,
    Command,
    CommandOptions,
    CommandSpec,
    GetDeadLetterRequest,
    ListCommandsRequest,
    ListDeadLettersRequest,
    PurgeDeadLetterRequest,
    RequeueDeadLetterRequest,
    SubmitCommandRequest,
)
from callboard.errors.v1 import errors_pb2
from callboard.sessions.v1.sessions_pb2 import RestartSessionRequest, StopSessionRequest
from tests.support.engines import TestNats
from tests.support.eventually import eventually
from tests.support.suite import (
    ScriptedExecutor,
    Suite,
    all_of,
    assert_gapless,
    audits_of,
    ended,
    events_of,
    get_command,
    in_state,
    make_agent,
    refused,
    running_suite,
    start,
    submit,
    types_of,
)

SUCCEEDED = commands_pb2.COMMAND_STATE_SUCCEEDED
FAILED = commands_pb2.COMMAND_STATE_FAILED
CANCELLED = commands_pb2.COMMAND_STATE_CANCELLED
RUNNING = commands_pb2.COMMAND_STATE_RUNNING
QUICK = Duration(nanos=10_000_000)


@pytest.fixture
async def suite(database_url: str, app_database_url: str, nats_server: TestNats) -> AsyncIterator[Suite]:
    async with running_suite(database_url, app_database_url, nats_server.url, commands=1) as running:
        yield running


@pytest.fixture
async def client(suite: Suite) -> Client:
    made = suite.client()
    await make_agent(made)
    return made


@pytest.fixture
def executor() -> ScriptedExecutor:
    return ScriptedExecutor()


@pytest.fixture
async def session_id(suite: Suite, client: Client, executor: ScriptedExecutor) -> str:
    """A session with a runner."""
    await suite.runner(executor)
    return (await start(client)).session_id


async def told(client: Client, session_id: str, command_id: str) -> list[str]:
    return types_of([event for event in await events_of(client, session_id) if event.command_id == command_id])


def quickly(**options: Any) -> dict[str, Any]:
    return {"backoff": QUICK, "max_backoff": QUICK, **options}


# submit


async def test_a_command_runs_once_and_its_events_tell_of_it(client: Client, session_id: str) -> None:
    accepted = await submit(client, "echo", {"text": "hello"})
    assert (accepted.agent_id, accepted.session_id) == ("clock", session_id)
    assert accepted.correlation_id
    command = await ended(client, accepted.command_id)
    assert (command.state, command.attempt, command.charged_attempts) == (SUCCEEDED, 1, 1)
    assert orjson.loads(command.result_json) == {"echo": {"text": "hello"}}
    assert command.requested_by.startswith("key:")
    assert (command.options.max_attempts, command.options.timeout.seconds) == (3, 300)
    assert command.enqueued_at.ToDatetime() <= command.started_at.ToDatetime() <= command.finished_at.ToDatetime()
    assert command.enqueued_at == accepted.enqueued_at
    assert await told(client, session_id, accepted.command_id) == [
        "command.enqueued", "command.started", "command.completed",
    ]  # fmt: skip
    events = await events_of(client, session_id)
    assert_gapless(events)
    assert {event.correlation_id for event in events if event.command_id} == {accepted.correlation_id}
    assert orjson.loads(events[-1].payload_json)["result"] == {"echo": {"text": "hello"}}


async def test_a_submit_without_an_active_session_is_refused_in_words(suite: Suite, client: Client) -> None:
    with refused("AGENT_NOT_FOUND"):
        await submit(client, agent_id="nobody")
    with refused("SESSION_NOT_ACTIVE"):
        await submit(client)
    spec = CommandSpec(session_id="nothing", type="echo")
    with refused("SESSION_NOT_FOUND"):
        await client.commands.SubmitCommand(SubmitCommandRequest(command=spec))
    session = await start(client)
    stranger = suite.client(suite.new_key(tenant="globex"))
    for spec in (
        CommandSpec(type="echo", agent_id="clock"),
        CommandSpec(type="echo", session_id=session.session_id),
    ):
        with refused("AGENT_NOT_FOUND" if spec.agent_id else "SESSION_NOT_FOUND"):
            await stranger.commands.SubmitCommand(SubmitCommandRequest(command=spec))
    await client.sessions.StopSession(StopSessionRequest(agent_id="clock"))
    with refused("SESSION_NOT_ACTIVE") as caught:
        await client.commands.SubmitCommand(
            SubmitCommandRequest(command=CommandSpec(session_id=session.session_id, type="echo"))
        )
    assert caught.value.metadata["state"] == "stopped"
    assert await suite.value("select count(*) from command.commands") == 0


async def test_another_tenants_command_does_not_exist(suite: Suite, client: Client) -> None:
    await start(client)
    accepted = await submit(client)
    stranger = suite.client(suite.new_key(tenant="globex"))
    with refused("COMMAND_NOT_FOUND"):
        await get_command(stranger, accepted.command_id)
    with refused("COMMAND_NOT_FOUND"):
        await stranger.commands.CancelCommand(CancelCommandRequest(command_id=accepted.command_id))
    with refused("COMMAND_NOT_FOUND"):
        await get_command(client, "no-uuid")
    assert list((await stranger.commands.ListCommands(ListCommandsRequest())).commands) == []


async def test_the_same_key_and_command_are_one_command_also_after_the_session_has_stopped(
    suite: Suite, client: Client
) -> None:
    await suite.command_app()
    other = suite.client(command=1)
    await start(client)
    outcomes = await all_of(*(submit(one, request_id="k") for _ in range(15) for one in (client, other)))
    assert [o for o in outcomes if isinstance(o, Exception)] == []
    assert len({o.SerializeToString(deterministic=True) for o in outcomes}) == 1
    await client.sessions.StopSession(StopSessionRequest(agent_id="clock"))
    assert await submit(client, request_id="k") == outcomes[0]
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await submit(client, "echo", {"other": 1}, request_id="k")
    assert await suite.value("select count(*) from command.commands") == 1


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
async def test_params_that_cannot_be_stored_are_refused_naming_the_field(
    client: Client, params: str, reason: str
) -> None:
    await start(client)
    spec = CommandSpec(agent_id="clock", type="echo", params_json=params)
    with refused(reason) as caught:
        await client.commands.SubmitCommand(SubmitCommandRequest(command=spec))
    assert [violation.field for violation in caught.value.violations] == ["command.params_json"]


async def test_of_many_submitted_at_once_each_is_answered_by_itself(suite: Suite, client: Client) -> None:
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


async def test_a_thousand_commands_submitted_at_once_all_run_once(
    suite: Suite, client: Client, session_id: str, executor: ScriptedExecutor
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
    assert audits_of(events) == {"session.started": 1, "command.enqueued": 1000, "command.completed": 1000}
    assert await suite.value("select count(*) from command.ready") == 0


async def test_commands_are_listed_newest_first_page_by_page_by_every_filter(client: Client) -> None:
    await start(client)
    made = [await submit(client, "echo" if number % 2 else "big") for number in range(7)]
    newest = [accepted.command_id for accepted in reversed(made)]

    async def listed(**fields: Any) -> list[str]:
        found: list[str] = []
        token = ""
        while True:
            page = await client.commands.ListCommands(ListCommandsRequest(page_size=3, page_token=token, **fields))
            found += [command.command_id for command in page.commands]
            if not (token := page.next_page_token):
                return found

    assert await listed() == newest
    assert await listed(type="echo") == newest[1::2]
    assert await listed(correlation_id=made[2].correlation_id) == [made[2].command_id]
    assert await listed(session_id=made[0].session_id, agent_id="clock") == newest
    assert await listed(states=[RUNNING]) == []
    assert await listed(states=[commands_pb2.COMMAND_STATE_QUEUED]) == newest


# when


async def test_a_command_does_not_start_before_its_time(client: Client, session_id: str) -> None:
    when = datetime.now(UTC) + timedelta(seconds=1.2)
    not_before = Timestamp()
    not_before.FromDatetime(when)
    accepted = await submit(client, not_before=not_before)
    command = await get_command(client, accepted.command_id)
    assert command.state == commands_pb2.COMMAND_STATE_SCHEDULED
    assert command.next_attempt_at == not_before
    command = await ended(client, accepted.command_id)
    assert command.started_at.ToDatetime(UTC) >= when
    assert command.started_at.ToDatetime(UTC) < when + timedelta(seconds=2)


async def test_commands_of_one_ordering_key_run_one_at_a_time_in_the_order_of_their_submits(
    client: Client, session_id: str, executor: ScriptedExecutor
) -> None:
    specs = [
        CommandSpec(agent_id="clock", type="fail" if number == 2 else "echo",
                    params_json='{"times": 1}' if number == 2 else f'{{"n": {number}}}',
                    options=CommandOptions(ordering_key="o", **quickly()))
        for number in range(12)
    ]  # fmt: skip
    answer = await client.commands.BulkSubmitCommands(BulkSubmitCommandsRequest(commands=specs))
    wanted = [result.command.command_id for result in answer.results]
    other = await submit(client)
    for command_id in [*wanted, other.command_id]:
        assert (await ended(client, command_id)).state == SUCCEEDED
    order = [command_id for command_id, attempt in executor.began if command_id != other.command_id and attempt == 1]
    assert order == wanted
    began = {command_id: index for index, command_id in enumerate(executor.ended)}
    assert [command_id for command_id in executor.ended if command_id != other.command_id].count(wanted[2]) == 2
    assert began


async def test_a_cancelled_or_dead_command_lets_the_next_of_its_ordering_key_go(
    client: Client, session_id: str, executor: ScriptedExecutor
) -> None:
    dying = await submit(client, "fail", {"retryable": False}, ordering_key="o")
    running = await submit(client, "hang", ordering_key="o")
    waiting = await submit(client, "echo", ordering_key="o")
    last = await submit(client, "echo", ordering_key="o")
    await in_state(client, running.command_id, RUNNING)
    assert (await get_command(client, dying.command_id)).state == FAILED
    await client.commands.CancelCommand(CancelCommandRequest(command_id=waiting.command_id))
    await client.commands.CancelCommand(CancelCommandRequest(command_id=running.command_id))
    assert (await ended(client, last.command_id)).state == SUCCEEDED
    assert executor.most_running == 1


# failures


async def test_a_failure_is_retried_with_backoff_until_it_works(client: Client, session_id: str) -> None:
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
    suite: Suite, client: Client, session_id: str
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


async def test_a_failure_that_is_not_retryable_is_a_dead_letter_at_once(client: Client, session_id: str) -> None:
    accepted = await submit(client, "fail", {"retryable": False, "code": "TOOL_NOT_FOUND"})
    command = await ended(client, accepted.command_id)
    assert (command.state, command.attempt) == (FAILED, 1)
    assert command.error.code == errors_pb2.ERROR_REASON_TOOL_NOT_FOUND


async def test_a_fault_of_the_executor_is_retried_and_tells_nothing_of_its_inside(
    client: Client, session_id: str
) -> None:
    accepted = await submit(client, "fault", max_attempts=2, **quickly())
    command = await ended(client, accepted.command_id)
    assert (command.state, command.attempt) == (FAILED, 2)
    assert command.error.code == errors_pb2.ERROR_REASON_INTERNAL
    assert "scripted" not in command.error.message


@pytest.mark.parametrize("text", ["nul \\u0000 inside", "lone \\ud800 inside"])
async def test_a_failure_whose_message_cannot_be_stored_as_it_is_still_ends_its_command(
    client: Client, session_id: str, text: str
) -> None:
    accepted = await submit(client, "fail", {"escaped": text}, max_attempts=2, **quickly())
    command = await ended(client, accepted.command_id, 12)
    assert (command.state, command.attempt) == (FAILED, 2)
    assert "inside" in command.error.message


async def test_an_end_that_the_database_refuses_is_a_dead_letter_and_not_a_loop(
    suite: Suite, client: Client, session_id: str
) -> None:
    await suite.rows("alter table command.commands add constraint odd check (result not like '%poison%')")
    bad = await submit(client, "echo", {"a": "poison"})
    good = await submit(client, "echo", {"a": "fine"})
    command = await ended(client, bad.command_id, 12)
    assert (command.state, command.error.code) == (FAILED, errors_pb2.ERROR_REASON_INTERNAL)
    assert (await ended(client, good.command_id)).state == SUCCEEDED


async def test_uncharged_failures_give_a_command_back_twenty_times_and_no_more(
    suite: Suite, client: Client, session_id: str, executor: ScriptedExecutor
) -> None:
    accepted = await submit(client, "fail", {"charged": False, "code": "CONNECTION_LOST"}, max_attempts=1)
    command = await ended(client, accepted.command_id, 40)
    assert (command.state, command.attempt, command.charged_attempts) == (FAILED, 21, 0)
    letter = (await client.dead_letters.GetDeadLetter(GetDeadLetterRequest(command_id=accepted.command_id))).dead_letter
    assert letter.reason == errors_pb2.ERROR_REASON_RELEASED_TOO_OFTEN
    assert len(executor.began) == 21


# results and progress


@pytest.mark.parametrize("size", [1000, 200_000, 300_000, 2_000_000])
async def test_results_are_kept_whole_and_large_ones_apart(
    suite: Suite, client: Client, session_id: str, size: int
) -> None:
    accepted = await submit(client, "big", {"bytes": size})
    command = await ended(client, accepted.command_id)
    assert command.state == SUCCEEDED
    assert orjson.loads(command.result_json) == {"text": "x" * size}
    apart = await suite.value("select count(*) from command.results")
    assert apart == (size > 256 * 1024)
    completed = (await events_of(client, session_id))[-1]
    payload = orjson.loads(completed.payload_json)
    assert ("result" in payload) is (size < 16_000)
    assert len(completed.payload_json) < 17_000


async def test_progress_is_shown_and_told_ten_times_a_second_at_most(client: Client, session_id: str) -> None:
    accepted = await submit(client, "progress", {"steps": 60, "pause": 0.005})
    command = await ended(client, accepted.command_id)
    assert (command.progress.progress, command.progress.total, command.progress.message) == (60, 60, "step 60")
    events = await events_of(client, session_id)
    assert_gapless(events)
    shown = [event for event in events if event.type == "command.progress"]
    seconds = command.finished_at.ToDatetime() - command.started_at.ToDatetime()
    assert 1 <= len(shown) <= 10 * seconds.total_seconds() + 2
    numbers = [orjson.loads(event.payload_json)["progress"] for event in shown]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 60
    outputs = [orjson.loads(event.payload_json)["line"] for event in events if event.type == "command.output"]
    assert outputs == list(range(60))
    assert types_of(events)[-1] == "command.completed"


# cancel


async def cancel(client: Client, command_id: str, **fields: Any) -> Command:
    request = CancelCommandRequest(command_id=command_id, reason="unwanted", **fields)
    return (await client.commands.CancelCommand(request)).command


async def test_a_waiting_command_is_cancelled_at_once(suite: Suite, client: Client) -> None:
    session = await start(client)
    accepted = await submit(client)
    assert (await cancel(client, accepted.command_id)).state == CANCELLED
    assert (await cancel(client, accepted.command_id)).state == CANCELLED
    assert await told(client, session.session_id, accepted.command_id) == ["command.enqueued", "command.cancelled"]
    assert await suite.value("select count(*) from command.ready") == 0


async def test_a_running_command_is_asked_to_stop_and_heeds_it(
    client: Client, session_id: str, executor: ScriptedExecutor
) -> None:
    accepted = await submit(client, "hang")
    await in_state(client, accepted.command_id, RUNNING)
    asked = await cancel(client, accepted.command_id)
    assert asked.HasField("cancel_requested_at")
    command = await ended(client, accepted.command_id, 3)
    assert command.state == CANCELLED
    assert not executor.running
    last = (await events_of(client, session_id))[-1]
    assert (last.type, orjson.loads(last.payload_json)["reason"]) == ("command.cancelled", "unwanted")
    assert (await ended(client, (await submit(client)).command_id)).state == SUCCEEDED


async def test_a_running_command_that_heeds_no_cancel_is_cancelled_after_its_grace_and_writes_nothing_more(
    client: Client, session_id: str, executor: ScriptedExecutor
) -> None:
    accepted = await submit(client, "deaf")
    await in_state(client, accepted.command_id, RUNNING)
    await cancel(client, accepted.command_id, mode=commands_pb2.CANCEL_MODE_IMMEDIATE)
    assert (await ended(client, accepted.command_id, 5)).state == CANCELLED
    before = types_of(await events_of(client, session_id))
    executor.gate.set()
    await eventually(lambda: not executor.running)
    assert (await ended(client, (await submit(client)).command_id)).state == SUCCEEDED
    assert types_of(await events_of(client, session_id))[: len(before)] == before
    assert (await get_command(client, accepted.command_id)).state == CANCELLED
    assert Counter(await told(client, session_id, accepted.command_id))["command.cancelled"] == 1


async def test_a_command_that_has_ended_cannot_be_cancelled(client: Client, session_id: str) -> None:
    accepted = await submit(client)
    await ended(client, accepted.command_id)
    with refused("COMMAND_FINISHED") as caught:
        await cancel(client, accepted.command_id)
    assert caught.value.metadata["state"] == "succeeded"
    with refused("COMMAND_NOT_FOUND"):
        await cancel(client, "01a1fd31-2c30-73f5-9e53-243f1262b8c9")


async def test_cancels_that_race_with_the_end_leave_one_outcome(client: Client, session_id: str) -> None:
    accepted = [await submit(client) for _ in range(30)]
    await all_of(*(cancel(client, one.command_id) for one in accepted))
    for one in accepted:
        await ended(client, one.command_id)
    events = await events_of(client, session_id)
    assert_gapless(events)
    ends = Counter(e.command_id for e in events if e.type in ("command.cancelled", "command.completed"))
    assert ends == {one.command_id: 1 for one in accepted}


# dead letters


async def bury(client: Client, **params: Any) -> str:
    accepted = await submit(client, "fail", {"retryable": False, **params})
    await ended(client, accepted.command_id)
    return accepted.command_id


async def requeue(client: Client, command_id: str, request_id: str = "") -> Any:
    request = RequeueDeadLetterRequest(command_id=command_id, request_id=request_id)
    return (await client.dead_letters.RequeueDeadLetter(request)).command


async def test_a_dead_letter_is_requeued_once_as_a_new_command_of_the_live_session(
    client: Client, session_id: str
) -> None:
    dead = await bury(client)
    session = (await client.sessions.RestartSession(RestartSessionRequest(agent_id="clock"))).session
    outcomes = await all_of(*(requeue(client, dead, key) for key in ("", "k1", "k2", "", "k1")))
    made = {o.command_id for o in outcomes if not isinstance(o, Exception)}
    assert len(made) == 1
    assert {getattr(o, "reason", "") for o in outcomes} == {"", "DEAD_LETTER_REQUEUED"}
    (again,) = made
    command = await ended(client, again)
    assert (command.requeued_from, command.session_id, command.type) == (dead, session.session_id, "fail")
    letter = (await client.dead_letters.GetDeadLetter(GetDeadLetterRequest(command_id=dead))).dead_letter
    assert letter.requeued_as == again
    for key in ("", "k3"):
        with refused("DEAD_LETTER_REQUEUED"):
            await requeue(client, dead, key)
    assert (await get_command(client, dead)).state == FAILED


async def test_a_requeue_with_a_key_answers_the_same_each_time(client: Client, session_id: str) -> None:
    dead, other = await bury(client), await bury(client)
    first = await requeue(client, dead, "key")
    assert await requeue(client, dead, "key") == first
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await requeue(client, other, "key")


async def test_a_requeue_without_a_live_session_is_refused_and_can_be_done_later(
    client: Client, session_id: str
) -> None:
    dead = await bury(client)
    await client.sessions.StopSession(StopSessionRequest(agent_id="clock"))
    with refused("SESSION_NOT_ACTIVE"):
        await requeue(client, dead)
    await start(client)
    assert (await requeue(client, dead)).command_id != dead


async def test_dead_letters_are_listed_newest_first_by_every_filter_and_purged(
    suite: Suite, client: Client, session_id: str
) -> None:
    ids = [await bury(client, code=code) for code in ("TOOL_ERROR", "TOOL_NOT_FOUND", "TOOL_ERROR")]

    async def listed(**fields: Any) -> list[str]:
        page = await client.dead_letters.ListDeadLetters(ListDeadLettersRequest(**fields))
        return [letter.command.command_id for letter in page.dead_letters]

    assert await listed() == ids[::-1]
    assert await listed(reason=errors_pb2.ERROR_REASON_TOOL_ERROR) == [ids[2], ids[0]]
    assert await listed(agent_id="clock", session_id=session_id, type="fail") == ids[::-1]
    assert await listed(type="echo") == []
    first = await client.dead_letters.ListDeadLetters(ListDeadLettersRequest(page_size=2))
    assert await listed(page_size=2, page_token=first.next_page_token) == ids[:1]
    stranger = suite.client(suite.new_key(tenant="globex"))
    with refused("DEAD_LETTER_NOT_FOUND"):
        await requeue(stranger, ids[0])
    with refused("DEAD_LETTER_NOT_FOUND"):
        await stranger.dead_letters.PurgeDeadLetter(PurgeDeadLetterRequest(command_id=ids[0]))
    await client.dead_letters.PurgeDeadLetter(PurgeDeadLetterRequest(command_id=ids[0]))
    with refused("DEAD_LETTER_NOT_FOUND"):
        await client.dead_letters.PurgeDeadLetter(PurgeDeadLetterRequest(command_id=ids[0]))
    with refused("DEAD_LETTER_NOT_FOUND"):
        await requeue(client, ids[0])
    assert await listed() == [ids[2], ids[1]]
    assert (await get_command(client, ids[0])).state == FAILED


async def test_commands_at_once_each_run_while_the_others_wait_for_nothing(
    client: Client, session_id: str, executor: ScriptedExecutor
) -> None:
    accepted = await asyncio.gather(*(submit(client, "hang") for _ in range(20)))
    await eventually(lambda: len(executor.running) == 20)
    executor.gate.set()
    for one in accepted:
        assert (await ended(client, one.command_id)).state == SUCCEEDED


async def test_higher_priorities_go_first(suite: Suite, client: Client, executor: ScriptedExecutor) -> None:
    await suite.runner(executor, slots=1)
    await start(client)
    blocker = await submit(client, "hang")
    await in_state(client, blocker.command_id, RUNNING)
    wanted = {}
    for name in ("LOW", "NORMAL", "HIGH"):
        priority = commands_pb2.CommandPriority.Value(f"COMMAND_PRIORITY_{name}")
        wanted[name] = [(await submit(client, priority=priority)).command_id for _ in range(3)]
    executor.gate.set()
    for ids in wanted.values():
        for command_id in ids:
            await ended(client, command_id)
    order = [command_id for command_id, _ in executor.began[1:]]
    places = {name: sorted(order.index(command_id) for command_id in ids) for name, ids in wanted.items()}
    assert places["HIGH"][-1] < places["LOW"][-1]
    assert sum(places["HIGH"]) < sum(places["NORMAL"]) < sum(places["LOW"])
