"""SQL functions change a command only for the holder of its lease (concurrency, rule 2)."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from callboard.commands.v1 import commands_pb2
from libs.ids import partition_of
from libs.rpc.stubs import Stubs
from tests.support.client_calls import FAILED, RUNNING, SUCCEEDED, get_command, start, submit
from tests.support.stored_events import assert_gapless, audit_counts, events_of, types_of
from tests.support.suite import Suite
from tests.support.unresponsive_runner import take_connections

PARTITION = partition_of("clock")


async def claim(suite: Suite, runner_id: UUID, *ids: str) -> list[tuple[Any, ...]]:
    return await suite.rows(
        "select code, lease_token, attempt from command.claim('acme', %s::smallint, %s, %s::uuid[])",
        PARTITION, runner_id, list(ids),
    )  # fmt: skip


async def finish(
    suite: Suite, command_id: str, token: UUID, outcome: str = "succeeded", **more: Any
) -> tuple[Any, ...]:
    item = {
        "id": command_id, "token": str(token), "outcome": outcome, "result": "{}", "large": False, "charged": True,
        "delay_ms": 60_000, "actor": "test", "event": "{}", "note": "{}", "reason": "TOOL_ERROR", **more,
    }  # fmt: skip
    rows = await suite.rows(
        "select code, state from command.finish('acme', %s::smallint, %s::json)",
        PARTITION,
        orjson.dumps([item]).decode(),
    )
    return rows[0]


@pytest.fixture
async def owner(suite: Suite, client: Stubs) -> UUID:
    """The id of a registered runner without a process. It holds the session's connection."""
    runner_id = uuid4()
    await start(client)
    await take_connections(suite, runner_id)
    return runner_id


async def test_one_of_several_concurrent_claims_wins(suite: Suite, client: Stubs, owner: UUID) -> None:
    accepted = await submit(client)
    answers = await asyncio.gather(*(claim(suite, owner, accepted.command_id) for _ in range(12)))
    assert Counter(rows[0][0] for rows in answers) == {"ok": 1, "gone": 11}
    assert await suite.value("select attempt from command.commands") == 1


async def test_only_a_live_runner_that_holds_the_session_can_claim(suite: Suite, client: Stubs, owner: UUID) -> None:
    accepted = await submit(client)
    assert (await claim(suite, uuid4(), accepted.command_id))[0][0] == "runner_dead"
    other = uuid4()
    await suite.rows("insert into command.runners values (%s, 'o', 1, now(), now() + interval '1 hour', null)", other)
    assert (await claim(suite, other, accepted.command_id))[0][0] == "not_owner"
    await suite.rows("update command.runners set lease_until = now() where runner_id = %s", owner)
    assert (await claim(suite, owner, accepted.command_id))[0][0] == "runner_dead"
    assert (await get_command(client, accepted.command_id)).attempt == 0
    assert await suite.value("select dispatch_no from command.ready") == 4


async def test_write_with_a_stale_lease_token_changes_nothing(suite: Suite, client: Stubs, owner: UUID) -> None:
    accepted = await submit(client)
    (_, old, _), *_ = await claim(suite, owner, accepted.command_id)
    assert await finish(suite, accepted.command_id, old, "released", charged=False, delay_ms=0) == ("ok", "released")
    ((code, new, attempt),) = await claim(suite, owner, accepted.command_id)
    assert (code, attempt) == ("ok", 2)
    assert new != old
    before = await suite.value("select position from session.log where partition = %s", PARTITION)
    assert (await finish(suite, accepted.command_id, old))[0] == "fenced"
    report = [{"id": accepted.command_id, "token": str(old), "progress": "{}", "type": "command.progress",
               "payload": "{}", "actor": "zombie"}]  # fmt: skip
    rows = await suite.rows(
        "select command_id, code from command.report('acme', %s::smallint, %s::json)",
        PARTITION,
        orjson.dumps(report).decode(),
    )
    assert (UUID(accepted.command_id), "fenced") in rows
    assert await suite.value("select position from session.log where partition = %s", PARTITION) == before
    assert (await get_command(client, accepted.command_id)).state == RUNNING
    assert await finish(suite, accepted.command_id, new) == ("ok", "succeeded")
    assert (await finish(suite, accepted.command_id, new))[0] == "fenced"
    assert (await finish(suite, accepted.command_id, new, "failed"))[0] == "fenced"
    assert (await get_command(client, accepted.command_id)).state == SUCCEEDED
    assert await suite.value("select count(*) from command.attempts") == 2


async def test_requested_cancel_wins_over_a_success(suite: Suite, client: Stubs, owner: UUID) -> None:
    accepted = await submit(client)
    ((_, token, _),) = await claim(suite, owner, accepted.command_id)
    await client.commands.CancelCommand(commands_pb2.CancelCommandRequest(command_id=accepted.command_id))
    assert await finish(suite, accepted.command_id, token) == ("ok", "cancelled")
    command = await get_command(client, accepted.command_id)
    assert (command.state, command.result_json) == (commands_pb2.COMMAND_STATE_CANCELLED, "")


async def test_lost_dispatch_charges_an_attempt_and_the_last_is_a_dead_letter(
    suite: Suite, client: Stubs, owner: UUID
) -> None:
    accepted = await submit(client, max_attempts=3, ordering_key="o")
    behind = await submit(client, ordering_key="o")
    error = '{"code": "DISPATCH_LOST", "message": "lost", "retryable": true, "details": {}}'
    states = [
        await suite.value(
            "select state from command.dispatch_lost('acme', %s::smallint, %s::uuid[], %s, 'test')",
            PARTITION, [accepted.command_id, str(uuid4())], error,
        )
        for _ in range(3)
    ]  # fmt: skip
    assert states == ["retrying", "retrying", "failed"]
    command = await get_command(client, accepted.command_id)
    assert (command.state, command.attempt, command.charged_attempts) == (FAILED, 3, 3)
    events = await events_of(client, command.session_id)
    assert_gapless(events)
    assert audit_counts(events)["command.failed"] == 1
    assert types_of(events)[-2:] == ["command.failed", "command.dead_lettered"]
    assert await suite.value("select blocked from command.ready where command_id = %s", behind.command_id) is False
    assert await suite.rows(
        "select * from command.dispatch_lost('acme', %s::smallint, %s::uuid[], %s, 'test')",
        PARTITION, [accepted.command_id], error,
    ) == []  # fmt: skip
