"""Purging dead letters by id and by filter. Requeued ones are purged only on request (C7)."""

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from callboard.commands.v1 import commands_pb2
from callboard.commands.v1.commands_pb2 import GetDeadLetterRequest
from callboard.errors.v1 import errors_pb2
from libs.rpc.stubs import Stubs
from tests.support.client_calls import FAILED, get_command
from tests.support.dead_letters import listed, make_dead_letter, make_dead_letters, purge_many, requeue, requeue_many
from tests.support.outcomes import all_of, rejected
from tests.support.suite import Suite

MISSING = errors_pb2.ERROR_REASON_DEAD_LETTER_NOT_FOUND
NOWHERE = "00000000-0000-7000-8000-000000000000"


async def test_bulk_purge_answers_each_id_and_keeps_the_commands(suite: Suite, client: Stubs, session_id: str) -> None:
    plain, requeued, kept = (
        await make_dead_letter(client),
        await make_dead_letter(client),
        await make_dead_letter(client),
    )
    await requeue(client, requeued)
    stranger = suite.client(suite.new_key(tenant="globex"))
    assert (await purge_many(stranger, command_ids=[plain, kept])).refused == 2
    answer = await purge_many(client, command_ids=[plain, NOWHERE, requeued, "none"])
    assert [one.command_id for one in answer.results] == [plain, NOWHERE, requeued, "none"]
    assert [one.refusal.reason for one in answer.results] == [0, MISSING, 0, MISSING]
    assert (answer.purged, answer.refused, answer.more) == (2, 2, False)
    left = await listed(client)
    assert plain not in left
    assert requeued not in left
    assert kept in left
    assert (await get_command(client, plain)).state == FAILED
    assert (await purge_many(client, command_ids=[plain])).refused == 1


async def test_purge_by_filter_keeps_requeued_dead_letters_by_default(client: Stubs, session_id: str) -> None:
    ids = await make_dead_letters(client, 5)
    await requeue_many(client, command_ids=ids[:2])
    dead_letter = (await client.dead_letters.GetDeadLetter(GetDeadLetterRequest(command_id=ids[4]))).dead_letter
    old = {"dead_before": Timestamp()}
    old["dead_before"].FromNanoseconds(dead_letter.dead_at.ToNanoseconds() + 1000)
    assert (await purge_many(client, filter=old)).purged == 3
    assert set(ids[:2]) <= set(await listed(client))
    asked = {**old, "requeued": commands_pb2.REQUEUED_FILTER_REQUEUED}
    answer = await purge_many(client, filter=asked)
    assert [one.command_id for one in answer.results] == ids[:2]


async def test_purge_by_filter_takes_the_oldest_up_to_its_limit(client: Stubs, session_id: str) -> None:
    ids = await make_dead_letters(client, 5)
    first = await purge_many(client, filter={"type": "fail"}, limit=3)
    assert [one.command_id for one in first.results] == ids[:3]
    assert (first.purged, first.more) == (3, True)
    second = await purge_many(client, filter={"type": "fail"}, limit=3)
    assert [one.command_id for one in second.results] == ids[3:]
    assert (second.purged, second.more) == (2, False)
    assert (await purge_many(client, filter={"type": "fail"})).purged == 0


async def test_requeued_any_purges_requeued_and_other_dead_letters(client: Stubs, session_id: str) -> None:
    ids = await make_dead_letters(client, 3)
    await requeue_many(client, command_ids=ids[:1])
    answer = await purge_many(client, filter={"requeued": commands_pb2.REQUEUED_FILTER_ANY}, limit=3)
    assert [one.command_id for one in answer.results] == ids


async def test_dry_run_counts_and_purges_nothing(client: Stubs, session_id: str) -> None:
    ids = await make_dead_letters(client, 4)
    answer = await purge_many(client, filter={}, limit=3, dry_run=True)
    assert (answer.purged, answer.refused, answer.more, answer.matched) == (3, 0, True, 4)
    assert [one.command_id for one in answer.results] == ids[:3]
    of_ids = await purge_many(client, command_ids=[ids[0], NOWHERE], dry_run=True)
    assert (of_ids.purged, of_ids.refused) == (1, 1)
    assert await listed(client) == ids[::-1]


async def test_repeated_purge_with_a_key_purges_nothing_more(client: Stubs, session_id: str) -> None:
    ids = await make_dead_letters(client, 4)
    first = await purge_many(client, filter={}, limit=2, request_id="key")
    assert [one.command_id for one in first.results] == ids[:2]
    assert await purge_many(client, filter={}, limit=2, request_id="key") == first
    assert await listed(client) == ids[:1:-1]
    with rejected("IDEMPOTENCY_KEY_REUSED"):
        await purge_many(client, filter={}, limit=3, request_id="key")
    by_id: dict[str, Any] = {"command_ids": [ids[2], NOWHERE], "request_id": "other"}
    answer = await purge_many(client, **by_id)
    assert await purge_many(client, **by_id) == answer
    assert (answer.purged, answer.refused) == (1, 1)


async def test_operator_may_requeue_but_only_an_admin_may_purge(suite: Suite, client: Stubs, session_id: str) -> None:
    dead = await make_dead_letter(client)
    viewer, operator = (suite.client(suite.new_key(role)) for role in ("viewer", "operator"))
    assert await listed(viewer) == [dead]
    with rejected("ROLE_REQUIRED"):
        await requeue_many(viewer, command_ids=[dead], dry_run=True)
    with rejected("ROLE_REQUIRED"):
        await purge_many(operator, command_ids=[dead])
    assert (await requeue_many(operator, command_ids=[dead])).requeued == 1


async def test_concurrent_purges_and_requeues_of_one_dead_letter_do_not_deadlock(
    client: Stubs, session_id: str
) -> None:
    ids = await make_dead_letters(client, 120)
    answers = await all_of(
        requeue_many(client, command_ids=ids),
        purge_many(client, command_ids=ids[::-1]),
        purge_many(client, filter={}, limit=1000),
        requeue_many(client, command_ids=ids[::-1]),
        purge_many(client, command_ids=ids),
    )
    assert [answer for answer in answers if isinstance(answer, Exception)] == []
    # Each was purged, also those that were requeued first.
    assert not set(ids) & set(await listed(client, page_size=500))


@pytest.mark.parametrize(
    "fields",
    [{}, {"command_ids": [NOWHERE], "filter": {}}, {"command_ids": [NOWHERE], "limit": 1}, {"filter": {}, "limit": -1}],
)
async def test_bulk_purge_with_invalid_arguments_is_rejected(client: Stubs, fields: dict[str, Any]) -> None:
    with rejected("FIELD_INVALID"):
        await purge_many(client, **fields)
