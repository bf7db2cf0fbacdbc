"""An accepted command reaches exactly one outcome, whatever the broker loses (C8; concurrency, rule 6)."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import orjson
import pytest

from callboard.commands.v1 import commands_pb2
from libs.bus import Bus
from libs.bus.api import JetStreamApi
from libs.ids import partition_of
from libs.rpc.stubs import Stubs
from services.command.dispatch import broker as dispatches
from tests.integration.bus_rig import Broker, broker_in
from tests.support.client_calls import RUNNING, SUCCEEDED, ended, get_command, in_state, start, submit, submit_many
from tests.support.eventually import eventually
from tests.support.scripted_executor import ScriptedExecutor
from tests.support.stored_events import outcomes_of
from tests.support.suite import Suite

PARTITION = partition_of("clock")


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    async with broker_in(tmp_path) as made:
        await made.start()
        yield made


@pytest.fixture
def broker_url(broker: Broker) -> str:
    return broker.url


async def test_commands_submitted_while_the_broker_is_down_run_when_it_is_back(
    suite: Suite, client: Stubs, broker: Broker
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


async def test_published_commands_run_once_although_the_broker_lost_its_store(
    suite: Suite, client: Stubs, broker: Broker
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


async def test_malformed_dispatches_do_not_stop_a_runner(suite: Suite, client: Stubs) -> None:
    from libs.bus import Bus, Message, PubAck, Publisher

    await suite.runner(ScriptedExecutor())
    await start(client)
    await ended(client, (await submit(client)).command_id)
    (runner_id,) = (await suite.rows("select runner_id from command.runners"))[0]
    bus = await Bus.connect(suite.nats_url, "test")
    try:
        subject = f"commands.acme.1.{PARTITION}.{runner_id.hex}"
        bodies = [b"garbage", b"{}", b"[]", b'[["no-uuid", 1]]', b"[[]]", orjson.dumps([[uuid4(), 1]]), b"\xff"]
        acks = await Publisher(bus).publish_many([Message(subject, body, uuid4().hex) for body in bodies])
        assert all(isinstance(ack, PubAck) for ack in acks)
        assert (await ended(client, (await submit(client)).command_id)).state == SUCCEEDED
    finally:
        await bus.close()


async def test_stream_that_rejects_all_writes_is_recreated_and_filled_again(
    suite: Suite, client: Stubs, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed write, nats-server rejects every later one. A sealed stream behaves the same."""
    monkeypatch.setattr(dispatches, "_BROKEN_SECONDS", 0.5)
    await suite.runner(ScriptedExecutor())
    await start(client)
    await ended(client, (await submit(client)).command_id)
    bus = await Bus.connect(broker.url, "a full disk")
    try:
        api = JetStreamApi(bus)
        config = (await api.ask("STREAM.INFO.COMMANDS"))["config"]
        await api.ask("STREAM.UPDATE.COMMANDS", {**config, "sealed": True})  # nothing unseals it
        ids = await submit_many(client, 20)
        for command_id in ids:
            assert (await ended(client, command_id, 30)).state == SUCCEEDED
        assert not (await api.ask("STREAM.INFO.COMMANDS"))["config"].get("sealed")
    finally:
        await bus.close()
