"""Idempotency keys in batches, around operations, and from each service's role (ADR 0022)."""

import asyncio

import psycopg
import pytest

from libs.errors import Reason, ServiceError
from libs.idempotency import IdempotencyKey, KeyCode, PostgresKeys, check_key, idempotent, key_error, leased
from tests.support.idempotency_keys import KEY, OTHER, TENANT, scalar

# batches


async def test_each_key_of_a_batch_has_its_own_answer(keys: PostgresKeys, admin: psycopg.AsyncConnection) -> None:
    await keys.take(TENANT, IdempotencyKey("work", "done", b"h"), "answer")
    await keys.take(TENANT, IdempotencyKey("work", "leased", b"h"))
    await keys.leave_note(TENANT, "work", "noted", "{}")
    cursor = await admin.execute(
        "select code, response, note is not null from unnest(idempotency.take('acme', 'work',"
        " array['z', null, 'done', 'leased', 'noted', 'z', 'done'], '{h,h,h,h,h,x,x}', '{1,2,3,4,5,6,7}'))"
    )
    assert await cursor.fetchall() == [
        ("taken", None, False), ("taken", None, False), ("replay", "answer", False), ("in_use", None, False),
        ("taken", None, True), ("reused", None, False), ("reused", None, False),
    ]  # fmt: skip


async def test_batches_that_share_keys_never_wait_for_each_other(keys: PostgresKeys, app_database_url: str) -> None:
    names = [f"k{number}" for number in range(40)]

    async def batch(number: int) -> None:
        order = names[number:] + names[:number]
        options = "-c role=callboard_command"
        async with await psycopg.AsyncConnection.connect(app_database_url, options=options) as connection:
            values = (TENANT, order, [bytes([number])] * len(order))
            await connection.execute("select idempotency.take(%s, 'work', %s, %s::bytea[])", values)
            await connection.execute("select idempotency.release(%s, 'work', %s, 'running')", values[:2])

    await asyncio.gather(*(batch(number) for number in range(0, 40, 4)))


# the two ways to run an operation under a key


async def test_idempotent_operation_runs_again_and_gives_its_key_back_when_rejected(keys: PostgresKeys) -> None:
    runs = 0
    for _ in range(2):
        async with idempotent(keys, TENANT, KEY, "target"):
            runs += 1
    assert runs == 2
    with pytest.raises(ServiceError, match="another request"):
        async with idempotent(keys, TENANT, OTHER, "target"):
            runs += 1
    assert runs == 2
    rejected = IdempotencyKey("work", "l", b"h")
    with pytest.raises(ServiceError, match="no such"):
        async with idempotent(keys, TENANT, rejected, "target"):
            raise ServiceError(Reason.COMMAND_NOT_FOUND, "no such command")
    assert (await keys.take(TENANT, rejected)).code == KeyCode.TAKEN


async def test_interrupted_leased_operation_resumes_with_its_plan(keys: PostgresKeys) -> None:
    async def break_off() -> None:
        async with leased(keys, TENANT, KEY) as use:
            await use.keep_plan("plan")
            raise RuntimeError("broken off")

    with pytest.raises(RuntimeError):
        await break_off()
    async with leased(keys, TENANT, KEY) as use:
        assert (use.plan, use.response) == ("plan", None)
        with pytest.raises(ServiceError) as caught:
            async with leased(keys, TENANT, KEY):
                pass
        assert caught.value.reason is Reason.IDEMPOTENCY_KEY_IN_USE
        assert await use.finish("answer") == "answer"
    async with leased(keys, TENANT, KEY) as use:
        assert (use.plan, use.response) == ("plan", "answer")


async def test_operation_without_a_key_stores_nothing(keys: PostgresKeys, admin: psycopg.AsyncConnection) -> None:
    async with idempotent(keys, TENANT, None, "target"), leased(keys, TENANT, None) as use:
        assert (use.plan, use.response) == (None, None)
        assert (await use.keep_plan("plan"), await use.finish("answer")) == ("plan", "answer")
    assert await scalar(admin, "select count(*) from idempotency.keys") == 0


# errors and rights


def test_only_codes_of_unusable_keys_are_errors() -> None:
    for code in (KeyCode.TAKEN, KeyCode.REPLAY, "ok"):
        check_key(code)
        assert key_error(code) is None
    for code, reason in (
        (KeyCode.REUSED, Reason.IDEMPOTENCY_KEY_REUSED), (KeyCode.IN_USE, Reason.IDEMPOTENCY_KEY_IN_USE),
    ):  # fmt: skip
        error = key_error(code, {"agent_id": "clock"})
        assert error is not None
        assert (error.reason, error.metadata) == (reason, {"agent_id": "clock"})
        with pytest.raises(ServiceError):
            check_key(code)


@pytest.mark.parametrize("role", ["callboard_session", "callboard_command"])
@pytest.mark.parametrize("statement", ["select * from idempotency.keys", "delete from idempotency.keys"])
async def test_services_reach_keys_through_functions_only(app_database_url: str, role: str, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(app_database_url, options=f"-c role={role}") as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute(statement.encode())


@pytest.mark.parametrize(
    "call",
    [
        "forget_expired(1)",
        "keep_plan('a', 'm', 'k', '')",
        "leave_note('a', 'm', 'k', '{}')",
        "settle('a', 'm', '{}', '{}')",
    ],
)
async def test_session_role_calls_only_what_it_needs(app_database_url: str, call: str) -> None:
    options = "-c role=callboard_session"
    async with await psycopg.AsyncConnection.connect(app_database_url, options=options) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute(f"select idempotency.{call}".encode())
