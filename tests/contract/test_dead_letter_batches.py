"""Requeueing dead letters by filter and with a key: the dead letters of a call are chosen once (C7)."""

import asyncio
from typing import Any

import pytest

from callboard.commands.v1 import commands_pb2
from callboard.commands.v1.commands_pb2 import RequeueOptions
from callboard.errors.v1 import errors_pb2
from callboard.sessions.v1.sessions_pb2 import StopSessionRequest
from libs.idempotency import PostgresKeys
from libs.rpc.stubs import Stubs
from services.command.dead_letters.batches import DeadLetterBatches
from tests.support.client_calls import ended, make_agent, start
from tests.support.dead_letters import listed, make_dead_letters, outcomes, requeue, requeue_many, successor
from tests.support.eventually import eventually
from tests.support.outcomes import all_of, rejected
from tests.support.suite import Suite

NOT_ACTIVE = errors_pb2.ERROR_REASON_SESSION_NOT_ACTIVE
NOWHERE = "00000000-0000-7000-8000-000000000000"


async def test_filter_requeues_the_oldest_dead_letters_first_page_by_page(client: Stubs, session_id: str) -> None:
    ids = await make_dead_letters(client, 7)
    wanted = {"agent_id": "clock", "reasons": [errors_pb2.ERROR_REASON_TOOL_ERROR]}
    first = await requeue_many(client, filter=wanted, limit=3)
    assert [one.command_id for one in first.results] == ids[:3]
    assert (first.requeued, first.refused, first.more) == (3, 0, True)
    second = await requeue_many(client, filter=wanted, limit=4, page_token=first.next_page_token)
    assert [one.command_id for one in second.results] == ids[3:]
    assert (second.more, second.next_page_token) == (False, "")


async def test_pages_of_a_requeue_exclude_commands_that_failed_again(client: Stubs, session_id: str) -> None:
    await make_dead_letters(client, 6)
    done, token = 0, ""
    while True:
        answer = await requeue_many(client, filter={}, limit=2, page_token=token)
        done += answer.requeued
        for one in answer.results:
            await ended(client, one.command.command_id)  # failed again
        if not (token := answer.next_page_token):
            break
    assert done == 6
    assert len(await listed(client, requeued=commands_pb2.REQUEUED_FILTER_NOT_REQUEUED)) == 6


async def test_page_token_skips_rejected_dead_letters(client: Stubs, session_id: str) -> None:
    await make_agent(client, "bell")
    await start(client, "bell")
    stuck = await make_dead_letters(client, 3, "bell")
    fine = await make_dead_letters(client, 2)
    await client.sessions.StopSession(StopSessionRequest(agent_id="bell"))
    first = await requeue_many(client, filter={}, limit=3)
    assert (first.requeued, first.refused, first.more) == (0, 3, True)
    assert [one.command_id for one in first.results] == stuck
    assert {one.refusal.reason for one in first.results} == {NOT_ACTIVE}
    second = await requeue_many(client, filter={}, limit=3, page_token=first.next_page_token)
    assert [one.command_id for one in second.results] == fine
    assert (second.requeued, second.more) == (2, False)
    with rejected("PAGE_TOKEN_INVALID"):
        await requeue_many(client, filter={"agent_id": "clock"}, page_token=first.next_page_token)


async def test_dry_run_reports_what_a_requeue_would_do_and_changes_nothing(client: Stubs, session_id: str) -> None:
    await make_agent(client, "bell")
    await start(client, "bell")
    await make_dead_letters(client, 2, "bell")
    await make_dead_letters(client, 3)
    await client.sessions.StopSession(StopSessionRequest(agent_id="bell"))
    answer = await requeue_many(client, filter={}, limit=4, dry_run=True, request_id="key")
    assert (answer.requeued, answer.refused, answer.more, answer.matched) == (2, 2, True, 5)
    assert outcomes(answer) == ["SESSION_NOT_ACTIVE"] * 2 + ["ok"] * 2
    assert not any(one.HasField("command") for one in answer.results)
    assert len(await listed(client, requeued=commands_pb2.REQUEUED_FILTER_NOT_REQUEUED)) == 5
    of_one = await requeue_many(client, command_ids=[NOWHERE], dry_run=True)
    assert outcomes(of_one) == ["DEAD_LETTER_NOT_FOUND"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, ""),
        ({"command_ids": [NOWHERE], "filter": {}}, ""),
        ({"command_ids": [NOWHERE] * 2}, "command_ids"),
        ({"command_ids": [str(n) for n in range(1001)]}, "command_ids"),
        ({"command_ids": [""]}, "command_ids[0]"),
        ({"command_ids": [NOWHERE], "limit": 5}, "limit"),
        ({"command_ids": [NOWHERE], "page_token": "x"}, "page_token"),
        ({"filter": {}, "limit": 1001}, "limit"),
        ({"filter": {"requeued": commands_pb2.REQUEUED_FILTER_REQUEUED}}, "filter.requeued"),
        ({"filter": {"requeued": commands_pb2.REQUEUED_FILTER_ANY}}, "filter.requeued"),
    ],
)
async def test_bulk_requeue_with_invalid_arguments_is_rejected(
    client: Stubs, fields: dict[str, Any], field: str
) -> None:
    with rejected("FIELD_INVALID") as caught:
        await requeue_many(client, **fields)
    assert caught.value.violations[0].field == field


# keys


async def test_repeated_bulk_requeue_gets_the_same_answer_with_its_errors(client: Stubs, session_id: str) -> None:
    ids = await make_dead_letters(client, 3)
    await requeue(client, ids[1])
    wanted: dict[str, Any] = {"command_ids": [*ids, NOWHERE], "request_id": "key"}
    first = await requeue_many(client, **wanted)
    assert outcomes(first) == ["ok", "DEAD_LETTER_REQUEUED", "ok", "DEAD_LETTER_NOT_FOUND"]
    assert await requeue_many(client, **wanted) == first
    with rejected("IDEMPOTENCY_KEY_REUSED"):
        await requeue_many(client, command_ids=ids, request_id="key")
    with rejected("IDEMPOTENCY_KEY_REUSED"):
        await requeue_many(client, **wanted, options=RequeueOptions(max_attempts=1))


async def test_repeated_requeue_by_filter_selects_the_same_dead_letters(client: Stubs, session_id: str) -> None:
    await make_dead_letters(client, 4)
    first = await requeue_many(client, filter={}, limit=2, request_id="key")
    assert (first.requeued, first.more) == (2, True)
    await make_dead_letters(client, 2)
    assert await requeue_many(client, filter={}, limit=2, request_id="key") == first
    assert len(await listed(client, requeued=commands_pb2.REQUEUED_FILTER_REQUEUED)) == 2


async def test_second_use_of_a_key_is_rejected_while_the_first_runs(
    client: Stubs, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await make_dead_letters(client, 2)
    reached, gate = asyncio.Event(), asyncio.Event()
    requeue_all = DeadLetterBatches._requeue_all

    async def slowly(self: Any, *arguments: Any) -> Any:
        reached.set()
        await gate.wait()
        return await requeue_all(self, *arguments)

    monkeypatch.setattr(DeadLetterBatches, "_requeue_all", slowly)
    first = asyncio.create_task(requeue_many(client, command_ids=ids, request_id="key"))
    await reached.wait()
    with rejected("IDEMPOTENCY_KEY_IN_USE"):
        await requeue_many(client, command_ids=ids, request_id="key")
    with rejected("IDEMPOTENCY_KEY_REUSED"):
        await requeue_many(client, command_ids=ids[:1], request_id="key")
    gate.set()
    assert (await first).requeued == 2


async def test_interrupted_requeue_resumes_and_repeats_nothing(
    suite: Suite, client: Stubs, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await make_dead_letters(client, 3)

    async def dies(self: Any, *_: Any) -> str:
        raise RuntimeError("as if the process had died before its answer was stored")

    with monkeypatch.context() as patched:
        patched.setattr(PostgresKeys, "finish", dies)
        patched.setattr(PostgresKeys, "release", dies)
        with rejected("INTERNAL"):
            await requeue_many(client, filter={}, limit=3, request_id="key")
    made = [await successor(client, one) for one in ids]
    assert all(made)
    with rejected("IDEMPOTENCY_KEY_IN_USE"):
        await requeue_many(client, filter={}, limit=3, request_id="key")
    await suite.rows("update idempotency.keys set lease_until = now() - interval '1 s' where key = 'key'")
    answer = await requeue_many(client, filter={}, limit=3, request_id="key")
    assert [one.command_id for one in answer.results] == ids
    assert [one.command.command_id for one in answer.results] == made
    assert await suite.value("select count(*) from command.commands where requeued_from is not null") == 3


async def test_caller_that_disconnected_can_retry_with_its_key_at_once(
    client: Stubs, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await make_dead_letters(client, 2)
    reached = asyncio.Event()

    async def for_ever(self: Any, *_: Any) -> Any:
        reached.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(DeadLetterBatches, "_requeue_all", for_ever)
        first = asyncio.create_task(requeue_many(client, command_ids=ids, request_id="key"))
        await reached.wait()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)

    async def is_done() -> bool:  # the server notices the cancel a moment after its caller
        (outcome,) = await all_of(requeue_many(client, command_ids=ids, request_id="key"))
        assert not isinstance(outcome, Exception), outcome
        return bool(outcome.requeued == 2)

    await eventually(is_done)
