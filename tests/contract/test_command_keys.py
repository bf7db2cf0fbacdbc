"""Idempotency keys of what is the same when it is done twice: cancel, requeue and purge, at both doors."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from callboard.commands.v1.commands_pb2 import CancelCommandRequest
from callboard.sessions.v1.sessions_pb2 import Session
from libs.rpc.stubs import Stubs
from tests.support.apis import Api, GrpcApi, RestApi, error_of, rest_client
from tests.support.client_calls import CANCELLED, SUCCEEDED, ended, get_command, make_agent, start, submit
from tests.support.eventually import eventually
from tests.support.outcomes import all_of
from tests.support.stored_events import event_types
from tests.support.suite import TENANT, Suite

REUSED = {"grpc": "ALREADY_EXISTS", "rest": 422}
DOORS = ["grpc", "rest"]


@pytest.fixture(params=DOORS)
def at(request: pytest.FixtureRequest) -> str:
    """The door's name."""
    return str(request.param)


@pytest.fixture
async def door(suite: Suite, client: Stubs, at: str) -> AsyncIterator[Api]:
    if at == "grpc":
        yield GrpcApi(client)
    else:
        async with rest_client(suite) as http:
            yield RestApi(http)


async def assert_reused(work: Any, at: str) -> None:
    error = await error_of(work)
    assert (error.reason, error.status) == ("IDEMPOTENCY_KEY_REUSED", REUSED[at])


async def waiting(client: Stubs) -> str:
    """A command whose time has not come."""
    tomorrow = Timestamp()
    tomorrow.FromDatetime(datetime.now(UTC) + timedelta(days=1))
    return (await submit(client, not_before=tomorrow)).command_id


async def bury(client: Stubs, **fields: Any) -> str:
    accepted = await submit(client, "fail", {"retryable": False}, **fields)
    await ended(client, accepted.command_id)
    return accepted.command_id


async def test_repeated_cancel_with_a_key_gets_the_same_answer_and_one_event(
    client: Stubs, session: Session, door: Api
) -> None:
    command_id = (await submit(client)).command_id
    first = await door.cancel(command_id, "k", "unwanted")
    assert await door.cancel(command_id, "k", "unwanted") == first
    assert await event_types(client, session.session_id, command_id) == ["command.enqueued", "command.cancelled"]


async def test_key_of_a_cancel_is_rejected_for_another_cancel(
    client: Stubs, session: Session, door: Api, at: str
) -> None:
    mine, other = [(await submit(client)).command_id for _ in range(2)]
    await door.cancel(mine, "k", "unwanted")
    await assert_reused(door.cancel(mine, "k", "for another reason"), at)
    await assert_reused(door.cancel(other, "k", "unwanted"), at)
    assert await event_types(client, session.session_id, other) == ["command.enqueued"]
    await door.cancel(other, "k2", "unwanted")
    assert (await get_command(client, other)).state == CANCELLED


async def test_key_of_a_rejected_request_can_be_used_again(client: Stubs, session_id: str, door: Api) -> None:
    done, dead = (await submit(client)).command_id, await bury(client)
    assert (await ended(client, done)).state == SUCCEEDED
    assert (await error_of(door.cancel(done, "k"))).reason == "COMMAND_FINISHED"
    assert (await error_of(door.purge(done, "k"))).reason == "DEAD_LETTER_NOT_FOUND"
    assert (await error_of(door.requeue(done, "k"))).reason == "DEAD_LETTER_NOT_FOUND"
    await door.cancel(await waiting(client), "k")
    await door.requeue(dead, "k")
    await door.purge(dead, "k")


async def test_key_of_a_purge_repeats_its_answer_and_is_rejected_for_another(
    suite: Suite, client: Stubs, session_id: str, door: Api, at: str
) -> None:
    dead, other = await bury(client), await bury(client)
    first = await door.purge(dead, "k")
    assert await door.purge(dead, "k") == first
    assert (await error_of(door.purge(dead, "k2"))).reason == "DEAD_LETTER_NOT_FOUND"
    assert (await error_of(door.purge(dead))).reason == "DEAD_LETTER_NOT_FOUND"
    await assert_reused(door.purge(other, "k"), at)
    assert [str(row[0]) for row in await suite.rows("select command_id from command.dead_letters")] == [other]


async def test_key_of_a_requeue_repeats_its_answer_and_is_rejected_for_another(
    suite: Suite, client: Stubs, session_id: str, door: Api, at: str
) -> None:
    dead, other = await bury(client), await bury(client)
    first = await door.requeue(dead, "k")
    assert await door.requeue(dead, "k") == first
    assert (await error_of(door.requeue(dead, "k2"))).reason == "DEAD_LETTER_REQUEUED"
    await assert_reused(door.requeue(other, "k"), at)
    made = await suite.rows("select requeued_from from command.commands where requeued_from is not null")
    assert [str(row[0]) for row in made] == [dead]


async def test_repeated_requeue_gets_the_same_answer_after_a_purge(client: Stubs, session_id: str, door: Api) -> None:
    dead = await bury(client)
    first = await door.requeue(dead, "k")
    await door.purge(dead)
    assert await door.requeue(dead, "k") == first


@pytest.mark.parametrize("operation", ["cancel", "requeue", "purge"])
async def test_concurrent_requests_with_one_key_have_one_effect_and_one_answer(
    suite: Suite, client: Stubs, session_id: str, door: Api, operation: str
) -> None:
    command_id = await (waiting(client) if operation == "cancel" else bury(client))
    work: Callable[..., Any] = getattr(door, operation)
    answers = await all_of(*(work(command_id, "k") for _ in range(20)))
    assert not isinstance(answers[0], Exception), answers[0]
    assert [answer for answer in answers if answer != answers[0]] == []
    assert await suite.value("select count(*) from session.events where type = 'command.cancelled'") == (
        operation == "cancel"
    )
    assert await suite.value("select count(*) from command.commands") == 1 + (operation == "requeue")


@pytest.mark.parametrize("operation", ["cancel", "purge"])
async def test_second_of_two_different_concurrent_requests_with_a_key_is_rejected(
    suite: Suite, client: Stubs, session_id: str, door: Api, at: str, operation: str
) -> None:
    """Also when the first has taken the key and not said so yet."""
    command_id = await (waiting(client) if operation == "cancel" else bury(client))
    async with await psycopg.AsyncConnection.connect(suite.database_url) as first:
        await first.execute(
            "select idempotency.take(%s, %s, array['k'], array['of another'::bytea], array['response'])",
            (TENANT, operation),
        )  # fmt: skip
        second = asyncio.create_task(getattr(door, operation)(command_id, "k"))
        await eventually(partial(suite.value, _WAITS))
    await assert_reused(second, at)
    await getattr(door, operation)(command_id, "k2")


_WAITS = """select exists (select from pg_stat_activity where datname = current_database()
    and wait_event_type = 'Lock' and query ~ 'idempotency.take|command.purge_dead_letter'
    and pid <> pg_backend_pid())"""


async def test_keys_of_different_operations_and_tenants_are_separate(
    suite: Suite, client: Stubs, session_id: str, door: Api
) -> None:
    stranger = suite.client(suite.new_key(tenant="globex"))
    await make_agent(stranger)
    await start(stranger)
    await stranger.commands.CancelCommand(CancelCommandRequest(command_id=await waiting(stranger), request_id="k"))
    dead = await bury(client, request_id="k")
    await door.cancel(await waiting(client), "k")
    await door.requeue(dead, "k")
    await door.purge(dead, "k")


async def test_expired_key_can_be_used_again(suite: Suite, client: Stubs, session_id: str, door: Api, at: str) -> None:
    await door.cancel(await waiting(client), "k")
    await assert_reused(door.cancel(other := await waiting(client), "k"), at)
    await suite.rows("update idempotency.keys set expires_at = now() where key = 'k'")
    await door.cancel(other, "k")
    await assert_reused(door.cancel(await waiting(client), "k"), at)
