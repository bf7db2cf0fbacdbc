"""Whatever dies, an accepted command reaches exactly one outcome (C8; concurrency, rules 2, 6 and 7)."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from google.protobuf.duration_pb2 import Duration

from callboard.aio import Client
from callboard.commands.v1 import commands_pb2
from callboard.commands.v1.commands_pb2 import BulkSubmitCommandsRequest, CommandSpec
from libs.ids import partition_of
from tests.integration.bus_rig import Broker, broker_in
from tests.support.eventually import eventually
from tests.support.suite import (
    ScriptedExecutor,
    Suite,
    assert_gapless,
    audits_of,
    ended,
    events_of,
    get_command,
    in_state,
    make_agent,
    running_suite,
    start,
    submit,
    types_of,
)

SUCCEEDED = commands_pb2.COMMAND_STATE_SUCCEEDED
FAILED = commands_pb2.COMMAND_STATE_FAILED
RUNNING = commands_pb2.COMMAND_STATE_RUNNING
QUICK = Duration(nanos=10_000_000)
PART = partition_of("clock")


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    async with broker_in(tmp_path) as made:
        await made.start()
        yield made


@pytest.fixture
async def suite(database_url: str, app_database_url: str, broker: Broker) -> AsyncIterator[Suite]:
    async with running_suite(database_url, app_database_url, broker.url, commands=1) as running:
        yield running


@pytest.fixture
async def client(suite: Suite) -> Client:
    made = suite.client()
    await make_agent(made)
    return made


async def outcomes_of(client: Client, session_id: str) -> Counter[str]:
    ends = ("command.completed", "command.failed", "command.cancelled")
    events = await events_of(client, session_id)
    assert_gapless(events)
    return Counter(event.command_id for event in events if event.type in ends)


async def submit_many(client: Client, count: int) -> list[str]:
    spec = CommandSpec(agent_id="clock", type="echo")
    answer = await client.commands.BulkSubmitCommands(BulkSubmitCommandsRequest(commands=[spec] * count))
    return [result.command.command_id for result in answer.results]


# the broker


async def test_a_submit_is_accepted_while_the_broker_is_away_and_runs_when_it_is_back(
    suite: Suite, client: Client, broker: Broker
) -> None:
    await suite.runner(ScriptedExecutor())
    session = await start(client)
    await ended(client, (await submit(client)).command_id)
    await broker.kill()
    accepted = await asyncio.wait_for(submit(client), 3)
    ids = [accepted.command_id, *await submit_many(client, 40)]
    assert (await get_command(client, accepted.command_id)).state == commands_pb2.COMMAND_STATE_QUEUED
    await broker.start()
    for command_id in ids:
        assert (await ended(client, command_id, 30)).state == SUCCEEDED
    assert (await outcomes_of(client, session.session_id)).total() == 42


async def test_what_the_broker_had_accepted_runs_although_its_store_was_wiped(
    suite: Suite, client: Client, broker: Broker
) -> None:
    executor = ScriptedExecutor()
    await suite.runner(executor, slots=1)
    session = await start(client)
    blocker = await submit(client, "hang")
    await in_state(client, blocker.command_id, RUNNING)
    ids = await submit_many(client, 120)
    await eventually(lambda: suite.value("select count(*) >= 100 from command.ready where published_seq is not null"))
    await broker.kill()
    broker.wipe()
    await broker.start()
    executor.gate.set()
    for command_id in [blocker.command_id, *ids]:
        assert (await ended(client, command_id, 30)).state == SUCCEEDED
    assert set((await outcomes_of(client, session.session_id)).values()) == {1}
    assert Counter(command_id for command_id, _ in executor.began).most_common(1)[0][1] == 1


async def test_a_dispatch_that_nobody_could_read_does_no_harm(suite: Suite, client: Client) -> None:
    from libs.bus import Bus, Message, PubAck, Publisher

    await suite.runner(ScriptedExecutor())
    await start(client)
    await ended(client, (await submit(client)).command_id)
    (runner_id,) = (await suite.rows("select runner_id from command.runners"))[0]
    bus = await Bus.connect(suite.nats_url, "test")
    try:
        subject = f"commands.acme.1.{PART}.{runner_id.hex}"
        bodies = [b"garbage", b"{}", b"[]", b'[["no-uuid", 1]]', b"[[]]", orjson.dumps([[uuid4(), 1]]), b"\xff"]
        acks = await Publisher(bus).publish_many([Message(subject, body, uuid4().hex) for body in bodies])
        assert all(isinstance(ack, PubAck) for ack in acks)
        assert (await ended(client, (await submit(client)).command_id)).state == SUCCEEDED
    finally:
        await bus.close()


# runners


async def test_the_commands_of_a_runner_that_dies_run_on_another(suite: Suite, client: Client) -> None:
    first, second = ScriptedExecutor(), ScriptedExecutor()
    doomed = await suite.runner(first)
    session = await start(client)
    running = [await submit(client, "hang", backoff=QUICK, max_backoff=QUICK) for _ in range(5)]
    for one in running:
        await in_state(client, one.command_id, RUNNING)
    second.gate.set()
    await suite.runner(second)
    await doomed.kill()
    waiting = await submit(client)
    for one in [*running, waiting]:
        command = await ended(client, one.command_id, 30)
        assert command.state == SUCCEEDED
        assert command.attempt == (1 if one is waiting else 2)
    assert {command_id for command_id, _ in second.began} == {one.command_id for one in [*running, waiting]}
    events = await events_of(client, session.session_id)
    assert types_of(events).count("agent.connected") == 2
    retrying = [orjson.loads(event.payload_json) for event in events if event.type == "command.retrying"]
    assert [(one["error"]["code"], one["charged"]) for one in retrying] == [("LEASE_EXPIRED", True)] * 5
    assert set((await outcomes_of(client, session.session_id)).values()) == {1}


async def test_a_runner_that_shuts_down_gives_its_commands_back_uncharged(suite: Suite, client: Client) -> None:
    first, second = ScriptedExecutor(), ScriptedExecutor()
    leaving = await suite.runner(first, drain=0.2)
    session = await start(client)
    accepted = await submit(client, "hang")
    await in_state(client, accepted.command_id, RUNNING)
    second.gate.set()
    await suite.runner(second)
    await leaving.stop()
    assert first.closed == first.opened == 1
    command = await ended(client, accepted.command_id, 20)
    assert (command.state, command.attempt, command.charged_attempts) == (SUCCEEDED, 2, 1)
    assert (await outcomes_of(client, session.session_id)).total() == 1


async def test_commands_that_were_submitted_before_any_runner_was_there_run_when_one_is(
    suite: Suite, client: Client
) -> None:
    await start(client)
    ids = await submit_many(client, 30)
    await suite.runner(ScriptedExecutor())
    for command_id in ids:
        assert (await ended(client, command_id)).state == SUCCEEDED


async def test_a_connection_whose_opening_was_never_settled_is_opened_again(suite: Suite, client: Client) -> None:
    """Its runner lives on, but the answer that gave it the session was lost."""
    await suite.runner(ScriptedExecutor())
    (runner_id,) = (await suite.rows("select runner_id from command.runners"))[0]
    await suite.rows(
        "create function command.lose() returns trigger language plpgsql as $$ begin"
        " new.state := 'connecting'; new.runner_id := (select r.runner_id from command.runners r); return new; end $$"
    )
    await suite.rows(
        "create trigger lose before insert on command.connections for each row execute function command.lose()"
    )
    await start(client)
    assert (await ended(client, (await submit(client)).command_id, 20)).state == SUCCEEDED
    assert runner_id


# fences, straight at the database


async def claim(suite: Suite, runner_id: UUID, *ids: str) -> list[tuple[Any, ...]]:
    return await suite.rows(
        "select code, lease_token, attempt from command.claim('acme', %s::smallint, %s, %s::uuid[])",
        PART, runner_id, list(ids),
    )  # fmt: skip


async def finish(
    suite: Suite, command_id: str, token: UUID, outcome: str = "succeeded", **more: Any
) -> tuple[Any, ...]:
    item = {
        "id": command_id, "token": str(token), "outcome": outcome, "result": "{}", "large": False, "charged": True,
        "delay_ms": 60_000, "actor": "test", "event": "{}", "note": "{}", "reason": "TOOL_ERROR", **more,
    }  # fmt: skip
    rows = await suite.rows(
        "select code, state from command.finish('acme', %s::smallint, %s::json)", PART, orjson.dumps([item]).decode()
    )
    return rows[0]


@pytest.fixture
async def owner(suite: Suite, client: Client) -> UUID:
    """The id of a runner that is none: it holds a session's connection."""
    runner_id = uuid4()
    await start(client)
    await suite.rows(
        "insert into command.runners values (%s, 'test', 1, now(), now() + interval '1 hour', null)", runner_id
    )
    await suite.rows("update command.connections set state = 'connected', runner_id = %s", runner_id)
    return runner_id


async def test_of_claims_at_once_one_wins(suite: Suite, client: Client, owner: UUID) -> None:
    accepted = await submit(client)
    answers = await asyncio.gather(*(claim(suite, owner, accepted.command_id) for _ in range(12)))
    assert Counter(rows[0][0] for rows in answers) == {"ok": 1, "gone": 11}
    assert await suite.value("select attempt from command.commands") == 1


async def test_only_the_living_runner_that_holds_the_session_claims(suite: Suite, client: Client, owner: UUID) -> None:
    accepted = await submit(client)
    assert (await claim(suite, uuid4(), accepted.command_id))[0][0] == "runner_dead"
    other = uuid4()
    await suite.rows("insert into command.runners values (%s, 'o', 1, now(), now() + interval '1 hour', null)", other)
    assert (await claim(suite, other, accepted.command_id))[0][0] == "not_owner"
    await suite.rows("update command.runners set lease_until = now() where runner_id = %s", owner)
    assert (await claim(suite, owner, accepted.command_id))[0][0] == "runner_dead"
    assert (await get_command(client, accepted.command_id)).attempt == 0
    assert await suite.value("select dispatch_no from command.ready") == 4


async def test_a_write_under_a_token_that_no_longer_holds_changes_nothing(
    suite: Suite, client: Client, owner: UUID
) -> None:
    accepted = await submit(client)
    (_, old, _), *_ = await claim(suite, owner, accepted.command_id)
    assert await finish(suite, accepted.command_id, old, "released", charged=False, delay_ms=0) == ("ok", "released")
    ((code, new, attempt),) = await claim(suite, owner, accepted.command_id)
    assert (code, attempt) == ("ok", 2)
    assert new != old
    before = await suite.value("select position from session.log where part = %s", PART)
    assert (await finish(suite, accepted.command_id, old))[0] == "fenced"
    report = [{"id": accepted.command_id, "token": str(old), "progress": "{}", "type": "command.progress",
               "payload": "{}", "actor": "zombie"}]  # fmt: skip
    rows = await suite.rows(
        "select command_id, code from command.report('acme', %s::smallint, %s::json)",
        PART,
        orjson.dumps(report).decode(),
    )
    assert (UUID(accepted.command_id), "fenced") in rows
    assert await suite.value("select position from session.log where part = %s", PART) == before
    assert (await get_command(client, accepted.command_id)).state == RUNNING
    assert await finish(suite, accepted.command_id, new) == ("ok", "succeeded")
    assert (await finish(suite, accepted.command_id, new))[0] == "fenced"
    assert (await finish(suite, accepted.command_id, new, "failed"))[0] == "fenced"
    assert (await get_command(client, accepted.command_id)).state == SUCCEEDED
    assert await suite.value("select count(*) from command.attempts") == 2


async def test_a_cancel_that_was_asked_for_wins_over_the_outcome(suite: Suite, client: Client, owner: UUID) -> None:
    accepted = await submit(client)
    ((_, token, _),) = await claim(suite, owner, accepted.command_id)
    await client.commands.CancelCommand(commands_pb2.CancelCommandRequest(command_id=accepted.command_id))
    assert await finish(suite, accepted.command_id, token) == ("ok", "cancelled")
    command = await get_command(client, accepted.command_id)
    assert (command.state, command.result_json) == (commands_pb2.COMMAND_STATE_CANCELLED, "")


async def test_a_lost_dispatch_charges_an_attempt_and_the_last_one_is_a_dead_letter(
    suite: Suite, client: Client, owner: UUID
) -> None:
    accepted = await submit(client, max_attempts=3, ordering_key="o")
    behind = await submit(client, ordering_key="o")
    error = '{"code": "DISPATCH_LOST", "message": "lost", "retryable": true, "details": {}}'
    states = [
        await suite.value(
            "select state from command.dispatch_lost('acme', %s::smallint, %s::uuid[], %s, 'test')",
            PART, [accepted.command_id, str(uuid4())], error,
        )
        for _ in range(3)
    ]  # fmt: skip
    assert states == ["retrying", "retrying", "failed"]
    command = await get_command(client, accepted.command_id)
    assert (command.state, command.attempt, command.charged_attempts) == (FAILED, 3, 3)
    events = await events_of(client, command.session_id)
    assert_gapless(events)
    assert audits_of(events)["command.failed"] == 1
    assert types_of(events)[-2:] == ["command.failed", "command.dead_lettered"]
    assert await suite.value("select blocked from command.ready where command_id = %s", behind.command_id) is False
    assert await suite.rows(
        "select * from command.dispatch_lost('acme', %s::smallint, %s::uuid[], %s, 'test')",
        PART, [accepted.command_id], error,
    ) == []  # fmt: skip
