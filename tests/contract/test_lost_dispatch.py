"""A dispatch that is delivered as often as the broker allows, and never taken up, costs its command an attempt.

The broker's word for it is an advisory. It is no verdict: the command goes on to its own end (concurrency, rule 7).
"""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest

from callboard.commands.v1 import commands_pb2
from callboard.commands.v1.commands_pb2 import CancelCommandRequest
from callboard.sessions.v1.sessions_pb2 import Session
from libs.bus import Bus, Publisher, Streams
from libs.dispatches import (
    ADVISORIES,
    ADVISORY_READER,
    dispatch_subject,
    encode_dispatch,
)
from libs.ids import partition_of
from libs.rpc.stubs import Stubs
from tests.support.client_calls import SUCCEEDED, ended, get_command, submit
from tests.support.deaf_runner import MAX_DELIVER, MEDIUM, DeafRunner
from tests.support.eventually import eventually
from tests.support.scripted_executor import ScriptedExecutor
from tests.support.stored_events import assert_gapless, events_of
from tests.support.suite import TENANT, Suite

PART = partition_of("clock")
ADVISORY = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.COMMANDS.test"
UNREADABLE = [b"garbage", b"\xff", b"[]", b"null", b"{}", b'{"stream_seq": "x"}', b'{"stream_seq": 0}']
QUEUED = commands_pb2.COMMAND_STATE_QUEUED


@pytest.fixture
async def bus(suite: Suite) -> AsyncIterator[Bus]:
    bus = await Bus.connect(suite.nats_url, "test")
    yield bus
    await bus.close(1)


@pytest.fixture
async def deaf(suite: Suite, session: Session, bus: Bus) -> AsyncIterator[DeafRunner]:
    runner = DeafRunner(suite, bus)
    await runner.take_session()
    yield runner
    await runner.end()


async def charged(suite: Suite, *ids: str) -> dict[str, int]:
    """The charges of these commands, once one of them has any."""

    async def found() -> dict[str, int]:
        rows = await suite.rows("select command_id, charged from command.commands where command_id = any (%s)",
                                [UUID(each) for each in ids])  # fmt: skip
        charges = {str(command_id): count for command_id, count in rows}
        return charges if any(charges.values()) else {}

    return dict(await eventually(found, 20))


async def told(client: Stubs, session_id: str, command_id: str) -> list[Any]:
    """What the work stream says of a command: types, and beside each error's code who says so."""
    events = await events_of(client, session_id)
    assert_gapless(events)
    own = [(event, orjson.loads(event.payload_json)) for event in events if event.command_id == command_id]
    return [(event.type, said["error"]["code"], event.actor) if "error" in said else event.type for event, said in own]


async def test_a_dispatch_that_nobody_takes_up_costs_an_attempt_and_its_command_completes_elsewhere(
    suite: Suite, client: Stubs, session: Session, deaf: DeafRunner
) -> None:
    accepted = await submit(client)
    assert await charged(suite, accepted.command_id) == {accepted.command_id: 1}
    first = deaf.deliveries[0].stream_sequence
    times = [each.num_delivered for each in deaf.deliveries if each.stream_sequence == first]
    assert times == [1, 2, 3], "as often as it may, and no more"
    assert (await get_command(client, accepted.command_id)).state == QUEUED, "it is no verdict"
    await deaf.die()
    executor = ScriptedExecutor()
    await suite.runner(executor)
    command = await ended(client, accepted.command_id)
    assert (command.state, command.attempt, command.charged_attempts) == (SUCCEEDED, 2, 2)
    assert executor.began == [(accepted.command_id, 2)]
    lost = ("command.retrying", "DISPATCH_LOST", "callboard:dispatcher")
    assert await told(client, session.session_id, accepted.command_id) == [
        "command.enqueued", lost, "command.started", "command.completed",
    ]  # fmt: skip
    attempts = await suite.rows("select attempt, outcome, charged from command.attempts order by attempt")
    assert attempts == [(1, "retrying", True), (2, "succeeded", True)]


async def test_every_command_of_a_lost_dispatch_is_charged_but_not_one_that_has_ended(
    suite: Suite, client: Stubs, deaf: DeafRunner, bus: Bus
) -> None:
    deaf.messages = -1  # what is dispatched to it stays in the stream
    cancelled, first, second = [(await submit(client)).command_id for _ in range(3)]
    await client.commands.CancelCommand(CancelCommandRequest(command_id=cancelled))
    body = encode_dispatch([(UUID(each), 1) for each in (first, cancelled, second)])
    subject = dispatch_subject(TENANT, MEDIUM, PART, uuid4())
    sequence = (await Publisher(bus).publish(subject, body, "together")).sequence
    await Publisher(bus).publish(ADVISORY, orjson.dumps({"stream_seq": sequence}), "advisory")
    assert await charged(suite, cancelled, first, second) == {cancelled: 0, first: 1, second: 1}


async def test_a_lost_dispatch_that_cannot_be_read_or_is_gone_does_not_keep_the_next_from_being_charged(
    suite: Suite, client: Stubs, deaf: DeafRunner, bus: Bus
) -> None:
    deaf.messages = 2
    subject = dispatch_subject(TENANT, MEDIUM, PART, deaf.runner_id)
    await Publisher(bus).publish(subject, b"garbage", "garbage")
    await Publisher(bus).publish(ADVISORY, orjson.dumps({"stream_seq": 1_000_000}), "gone")
    for number, unreadable in enumerate(UNREADABLE):
        await Publisher(bus).publish(ADVISORY, unreadable, f"unreadable {number}")
    accepted = await submit(client)
    assert await charged(suite, accepted.command_id) == {accepted.command_id: 1}
    assert sum(each.payload == b"garbage" for each in deaf.deliveries) == MAX_DELIVER

    async def all_is_settled() -> bool:
        state = await Streams(bus).consumer_state(ADVISORIES.name, ADVISORY_READER.name)
        return (state.num_pending, state.num_ack_pending, state.delivered_stream_seq) == (0, 0, 3 + len(UNREADABLE))

    await eventually(all_is_settled)


async def test_a_charge_that_the_database_refuses_is_made_later(suite: Suite, client: Stubs, deaf: DeafRunner) -> None:
    """The reader waits for the lock of the log for a second, is refused, and asks for the advisory again."""
    accepted = await submit(client)
    async with await psycopg.AsyncConnection.connect(suite.database_url) as blocker:
        await blocker.execute("select 1 from session.log where partition = %s for update", (PART,))
        for wanted in (True, False):
            await eventually(partial(is_waiting, suite, wanted=wanted), 20)
        assert await suite.value("select max(charged) from command.commands") == 0
    assert await charged(suite, accepted.command_id) == {accepted.command_id: 1}


async def is_waiting(suite: Suite, *, wanted: bool) -> bool:
    count = await suite.value(
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        " and query like '%command.dispatch_lost(%' and pid <> pg_backend_pid()"
    )
    return bool(count) is wanted
