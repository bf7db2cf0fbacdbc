"""Idempotency keys: one key stands for one request and one answer, for both services (S5, ADR 0022)."""

import asyncio
from functools import partial

import psycopg
import pytest

from libs.db import BusyError
from libs.idempotency import (
    IdempotencyKey,
    KeyCode,
    KeyState,
    PostgresKeys,
    Taken,
)
from tests.support.eventually import eventually
from tests.support.idempotency_keys import KEY, OTHER, TENANT, scalar

WAITS = "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and query ~ 'idempotency.take')"


async def taken_by_another(connection: psycopg.AsyncConnection, response: str | None = None) -> None:
    """Take the key in the open transaction of a second connection."""
    values = (TENANT, KEY.method, [KEY.key], [KEY.hash], [response])
    await connection.execute("select idempotency.take(%s, %s, %s, %s::bytea[], %s::text[])", values)


# replay and reuse


async def test_finished_key_replays_its_response(keys: PostgresKeys) -> None:
    assert await keys.take(TENANT, KEY) == Taken(KeyCode.TAKEN)
    assert await keys.finish(TENANT, KEY, "answer") == "answer"
    assert await keys.take(TENANT, KEY) == Taken(KeyCode.REPLAY, None, "answer")


async def test_key_taken_with_its_response_replays_at_once(keys: PostgresKeys) -> None:
    assert (await keys.take(TENANT, KEY, "answer")).code == KeyCode.TAKEN
    assert await keys.take(TENANT, KEY, "another") == Taken(KeyCode.REPLAY, None, "answer")


async def test_empty_response_is_a_response(keys: PostgresKeys) -> None:
    await keys.take(TENANT, KEY, "")
    assert await keys.take(TENANT, KEY) == Taken(KeyCode.REPLAY, None, "")


async def test_key_of_another_request_is_rejected_and_shows_nothing(keys: PostgresKeys) -> None:
    await keys.take(TENANT, KEY)
    await keys.keep_plan(TENANT, KEY, "plan")
    assert await keys.take(TENANT, OTHER) == Taken(KeyCode.REUSED)
    await keys.finish(TENANT, KEY, "answer")
    assert await keys.take(TENANT, OTHER) == Taken(KeyCode.REUSED)


async def test_first_stored_response_is_kept(keys: PostgresKeys) -> None:
    await keys.take(TENANT, KEY)
    assert await keys.finish(TENANT, KEY, "first") == "first"
    assert await keys.finish(TENANT, KEY, "second") == "first"


async def test_equal_keys_of_other_operations_and_tenants_are_separate(keys: PostgresKeys) -> None:
    await keys.take(TENANT, KEY, "answer")
    assert (await keys.take("globex", OTHER)).code == KeyCode.TAKEN
    assert (await keys.take(TENANT, IdempotencyKey("rest", "k", b"another request"))).code == KeyCode.TAKEN


# in use


async def test_second_use_of_a_leased_key_is_rejected(keys: PostgresKeys) -> None:
    await keys.take(TENANT, KEY)
    assert await keys.take(TENANT, KEY) == Taken(KeyCode.IN_USE)


async def test_second_use_waits_for_the_transaction_of_the_first(
    keys: PostgresKeys, database_url: str, admin: psycopg.AsyncConnection
) -> None:
    async with await psycopg.AsyncConnection.connect(database_url) as first:
        await taken_by_another(first, "answer")
        second = asyncio.create_task(keys.take(TENANT, KEY))
        await eventually(partial(scalar, admin, WAITS))
    assert await second == Taken(KeyCode.REPLAY, None, "answer")


async def test_second_use_takes_the_key_when_the_first_rolls_back(
    keys: PostgresKeys, database_url: str, admin: psycopg.AsyncConnection
) -> None:
    async with await psycopg.AsyncConnection.connect(database_url) as first:
        await taken_by_another(first)
        second = asyncio.create_task(keys.take(TENANT, KEY))
        await eventually(partial(scalar, admin, WAITS))
        await first.rollback()
    assert (await second).code == KeyCode.TAKEN


async def test_second_use_stops_waiting_after_the_lock_timeout(keys: PostgresKeys, database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url) as first:
        await taken_by_another(first)
        with pytest.raises(BusyError):
            await keys.take(TENANT, KEY)


async def test_one_of_many_concurrent_uses_takes_the_key(keys: PostgresKeys) -> None:
    outcomes = await asyncio.gather(*(keys.take(TENANT, KEY) for _ in range(20)))
    assert sorted(outcome.code for outcome in outcomes) == [KeyCode.IN_USE] * 19 + [KeyCode.TAKEN]


# the lease


async def test_same_request_takes_over_key_and_plan_of_a_dead_holder(keys: PostgresKeys, database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as holder:
        values = (TENANT, KEY.method, [KEY.key], [KEY.hash])
        await holder.execute(
            "select idempotency.take(%s, %s, %s, %s::bytea[], p_lease => interval '300 ms')", values
        )  # fmt: skip
        await keys.keep_plan(TENANT, KEY, "plan")
        assert (await keys.take(TENANT, KEY)).code == KeyCode.IN_USE
    assert (await keys.take(TENANT, OTHER)).code == KeyCode.REUSED

    async def is_free() -> bool:
        return await keys.take(TENANT, KEY) == Taken(KeyCode.TAKEN, "plan")

    await eventually(is_free)
    assert (await keys.take(TENANT, KEY)).code == KeyCode.IN_USE


async def test_key_whose_holder_died_is_rejected_for_another_request(keys: PostgresKeys) -> None:
    await keys.take(TENANT, KEY, lease=0.0)
    assert (await keys.take(TENANT, OTHER)).code == KeyCode.REUSED


async def test_first_stored_plan_is_kept(keys: PostgresKeys) -> None:
    await keys.take(TENANT, KEY)
    assert await keys.keep_plan(TENANT, KEY, "first") == "first"
    assert await keys.keep_plan(TENANT, KEY, "second") == "first"


# release


async def test_released_key_can_be_used_for_another_request(keys: PostgresKeys) -> None:
    await keys.take(TENANT, KEY)
    await keys.release(TENANT, KEY)
    assert (await keys.take(TENANT, OTHER, "answer")).code == KeyCode.TAKEN
    await keys.release(TENANT, OTHER, KeyState.DONE)
    assert (await keys.take(TENANT, KEY)).code == KeyCode.TAKEN


async def test_late_release_keeps_a_response(keys: PostgresKeys) -> None:
    await keys.take(TENANT, KEY)
    await keys.finish(TENANT, KEY, "answer")
    await keys.release(TENANT, KEY)
    assert (await keys.take(TENANT, KEY)).response == "answer"


async def test_released_key_keeps_its_plan_and_its_request(keys: PostgresKeys) -> None:
    await keys.take(TENANT, KEY)
    await keys.keep_plan(TENANT, KEY, "plan")
    await keys.release(TENANT, KEY)
    assert (await keys.take(TENANT, OTHER)).code == KeyCode.REUSED
    assert await keys.take(TENANT, KEY) == Taken(KeyCode.TAKEN, "plan")


# expiry


@pytest.mark.parametrize("response", [None, "answer"])
async def test_key_is_kept_for_a_day_and_then_can_be_used_for_any_request(
    keys: PostgresKeys, admin: psycopg.AsyncConnection, response: str | None
) -> None:
    await keys.take(TENANT, KEY, response)
    await keys.keep_plan(TENANT, KEY, "plan")
    kept = "select expires_at - clock_timestamp() between interval '23:59' and interval '24:00' from idempotency.keys"
    assert await scalar(admin, kept)
    await keys.forget_expired()
    assert (await keys.take(TENANT, OTHER)).code == KeyCode.REUSED
    await admin.execute("update idempotency.keys set expires_at = now()")
    assert await keys.take(TENANT, OTHER) == Taken(KeyCode.TAKEN)
    assert await scalar(admin, kept)


async def test_expired_keys_are_deleted_unless_they_are_in_use(
    keys: PostgresKeys, database_url: str, admin: psycopg.AsyncConnection
) -> None:
    await keys.take(TENANT, KEY, "answer")
    await keys.take("globex", KEY, "answer")
    await admin.execute("update idempotency.keys set expires_at = now()")
    async with await psycopg.AsyncConnection.connect(database_url) as user:
        await taken_by_another(user, "new")
        await keys.forget_expired()
    assert await scalar(admin, "select array_agg(tenant_id) from idempotency.keys") == [TENANT]
    assert (await keys.take(TENANT, KEY)).response == "new"


# notes


async def test_first_note_of_a_key_is_returned_to_its_first_use(
    keys: PostgresKeys, admin: psycopg.AsyncConnection
) -> None:
    assert await keys.leave_note(TENANT, "work", "k", '{"n": 1}') is None
    assert await keys.leave_note(TENANT, "work", "k", '{"n": 2}') is None
    use = "select ((idempotency.take('acme', 'work', '{k}', '{h}', '{answer}'))[1]).note ->> 'n'"
    assert await scalar(admin, use) == "1"
    assert await keys.leave_note(TENANT, "work", "k", '{"n": 3}') == "answer"


async def test_note_is_kept_when_the_use_of_its_key_is_released(
    keys: PostgresKeys, admin: psycopg.AsyncConnection
) -> None:
    await keys.leave_note(TENANT, "work", "k", "{}")
    await keys.take(TENANT, KEY, "answer")
    await keys.release(TENANT, KEY, KeyState.DONE)
    assert await scalar(admin, "select state = 'waiting' and note = '{}' from idempotency.keys")
    assert (await keys.take(TENANT, OTHER, "other")).code == KeyCode.TAKEN


async def test_note_expires_after_a_day(keys: PostgresKeys, admin: psycopg.AsyncConnection) -> None:
    await keys.leave_note(TENANT, "work", "k", '{"n": 1}')
    await admin.execute("update idempotency.keys set expires_at = now()")
    assert await keys.leave_note(TENANT, "work", "k", '{"n": 2}') is None
    assert await scalar(admin, "select note ->> 'n' from idempotency.keys") == "2"
    await admin.execute("update idempotency.keys set expires_at = now()")
    assert (await keys.take(TENANT, KEY, "answer")).code == KeyCode.TAKEN
    assert await scalar(admin, "select note is null from idempotency.keys")
