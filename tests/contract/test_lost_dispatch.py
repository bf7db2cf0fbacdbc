"""A dispatch that reaches the broker's limit of deliveries without a claim costs its command an attempt.

The broker reports it in an advisory. That does not decide the command's outcome (concurrency, rule 7).
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
from tests.support.eventually import eventually
from tests.support.scripted_executor import ScriptedExecutor
from tests.support.stored_events import assert_gapless, events_of
from tests.support.suite import TENANT, Suite
from tests.support.unresponsive_runner import MAX_DELIVER, MEDIUM, UnresponsiveRunner

PARTITION = partition_of("clock")
ADVISORY = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.COMMANDS.test"
UNREADABLE = [b"garbage", b"\xff", b"[]", b"null", b"{}", b'{"stream_seq": "x"}', b'{"stream_seq": 0}']
QUEUED = commands_pb2.COMMAND_STATE_QUEUED


@pytest.fixture
async def bus(suite: Suite) -> AsyncIterator[Bus]:
    bus = await Bus.connect(suite.nats_url, "test")
    yield bus
    await bus.close(1)


@pytest.fixture
async def unresponsive_runner(suite: Suite, session: Session, bus: Bus) -> AsyncIterator[UnresponsiveRunner]:
    runner = UnresponsiveRunner(suite, bus)
    await runner.take_session()
    yield runner
    await runner.end()


async def charged(suite: Suite, *ids: str) -> dict[str, int]:
    """The charged attempts of these commands, once one of them has any."""

    async def found() -> dict[str, int]:
        rows = await suite.rows("select command_id, charged from command.commands where command_id = any (%s)",
                                [UUID(each) for each in ids])  # fmt: skip
        charges = {str(command_id): count for command_id, count in rows}
        return charges if any(charges.values()) else {}

    return dict(await eventually(found, 20))


async def outcomes_of(client: Stubs, session_id: str, command_id: str) -> list[Any]:
    """A command's events: the type, or for one with an error (type, code, actor)."""
    events = await events_of(client, session_id)
    assert_gapless(events)
    own = [(event, orjson.loads(event.payload_json)) for event in events if event.command_id == command_id]
    return [(event.type, said["error"]["code"], event.actor) if "error" in said else event.type for event, said in own]


async def test_unclaimed_dispatch_costs_an_attempt_and_the_command_runs_elsewhere(
    suite: Suite, client: Stubs, session: Session, unresponsive_runner: UnresponsiveRunner
) -> None:
    accepted = await submit(client)
    assert await charged(suite, accepted.command_id) == {accepted.command_id: 1}
    first = unresponsive_runner.deliveries[0].stream_sequence
    times = [each.num_delivered for each in unresponsive_runner.deliveries if each.stream_sequence == first]
    assert times == [1, 2, 3], "as often as the limit allows"
    assert (await get_command(client, accepted.command_id)).state == QUEUED, "a lost dispatch decides no outcome"
    await unresponsive_runner.die()
    executor = ScriptedExecutor()
    await suite.runner(executor)
    command = await ended(client, accepted.command_id)
    assert (command.state, command.attempt, command.charged_attempts) == (SUCCEEDED, 2, 2)
    assert executor.began == [(accepted.command_id, 2)]
    lost = ("command.retrying", "DISPATCH_LOST", "callboard:dispatcher")
    assert await outcomes_of(client, session.session_id, accepted.command_id) == [
        "command.enqueued", lost, "command.started", "command.completed",
    ]  # fmt: skip
    attempts = await suite.rows("select attempt, outcome, charged from command.attempts order by attempt")
    assert attempts == [(1, "retrying", True), (2, "succeeded", True)]


async def test_lost_dispatch_charges_every_command_that_has_not_ended(
    suite: Suite, client: Stubs, unresponsive_runner: UnresponsiveRunner, bus: Bus
) -> None:
    unresponsive_runner.messages = -1  # its dispatches stay in the stream
    cancelled, first, second = [(await submit(client)).command_id for _ in range(3)]
    await client.commands.CancelCommand(CancelCommandRequest(command_id=cancelled))
    body = encode_dispatch([(UUID(each), 1) for each in (first, cancelled, second)])
    subject = dispatch_subject(TENANT, MEDIUM, PARTITION, uuid4())
    sequence = (await Publisher(bus).publish(subject, body, "together")).sequence
    await Publisher(bus).publish(ADVISORY, orjson.dumps({"stream_seq": sequence}), "advisory")
    assert await charged(suite, cancelled, first, second) == {cancelled: 0, first: 1, second: 1}


async def test_unreadable_advisory_does_not_block_the_next_charge(
    suite: Suite, client: Stubs, unresponsive_runner: UnresponsiveRunner, bus: Bus
) -> None:
    unresponsive_runner.messages = 2
    subject = dispatch_subject(TENANT, MEDIUM, PARTITION, unresponsive_runner.runner_id)
    await Publisher(bus).publish(subject, b"garbage", "garbage")
    await Publisher(bus).publish(ADVISORY, orjson.dumps({"stream_seq": 1_000_000}), "gone")
    for number, unreadable in enumerate(UNREADABLE):
        await Publisher(bus).publish(ADVISORY, unreadable, f"unreadable {number}")
    accepted = await submit(client)
    assert await charged(suite, accepted.command_id) == {accepted.command_id: 1}
    assert sum(each.payload == b"garbage" for each in unresponsive_runner.deliveries) == MAX_DELIVER

    async def all_is_settled() -> bool:
        state = await Streams(bus).consumer_state(ADVISORIES.name, ADVISORY_READER.name)
        return (state.num_pending, state.num_ack_pending, state.delivered_stream_seq) == (0, 0, 3 + len(UNREADABLE))

    await eventually(all_is_settled)


async def test_charge_that_the_database_rejects_is_repeated(
    suite: Suite, client: Stubs, unresponsive_runner: UnresponsiveRunner
) -> None:
    """The reader times out after a second of waiting for the log's lock, and takes the advisory again."""
    accepted = await submit(client)
    async with await psycopg.AsyncConnection.connect(suite.database_url) as blocker:
        await blocker.execute("select 1 from session.log where partition = %s for update", (PARTITION,))
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
