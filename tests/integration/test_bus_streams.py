"""Streams and consumers are created and edited to match their specifications."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from libs.bus import (
    BrokerRefusedError,
    Bus,
    BusError,
    BusUnavailableError,
    ConsumerMissingError,
    ConsumerSpec,
    InvalidMessageError,
    Message,
    PubAck,
    Publisher,
    StreamMissingError,
    Streams,
    StreamSpec,
)
from tests.integration.bus_rig import STREAM, Broker, Rig, broker_in, running, until
from tests.support.eventually import eventually


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    async with broker_in(tmp_path) as broker:
        await broker.start()
        yield broker


@pytest.fixture
async def bus(broker: Broker) -> AsyncIterator[Bus]:
    bus = await Bus.connect(broker.url, "test")
    yield bus
    await bus.close(1)


async def restart(broker: Broker, bus: Bus, *, wiped: bool) -> None:
    await broker.kill()
    await eventually(lambda: not bus.connected)
    if wiped:
        broker.wipe()
    await broker.start()
    await eventually(lambda: bus.connected)


async def test_stream_epoch_survives_a_restart_of_the_broker(broker: Broker, bus: Bus) -> None:
    streams = Streams(bus)
    epoch = await streams.ensure_stream(STREAM)
    await Publisher(bus).publish("commands.a", b"{}", "1")
    assert await streams.ensure_stream(STREAM) == epoch
    await restart(broker, bus, wiped=False)
    assert await streams.ensure_stream(STREAM) == epoch
    assert (await streams.stream_state("COMMANDS")).last_sequence == 1


async def test_stream_epoch_changes_when_the_stream_is_recreated(broker: Broker, bus: Bus) -> None:
    streams = Streams(bus)
    epochs = [await streams.ensure_stream(STREAM)]
    await restart(broker, bus, wiped=True)
    with pytest.raises(StreamMissingError):
        await streams.stream_state("COMMANDS")
    epochs.append(await streams.ensure_stream(STREAM))
    assert await streams.delete_stream("COMMANDS")
    assert not await streams.delete_stream("COMMANDS")
    epochs.append(await streams.ensure_stream(STREAM))
    assert len(set(epochs)) == 3
    assert epochs == sorted(epochs, key=int)


async def test_stream_with_another_configuration_is_edited_and_keeps_its_messages(bus: Bus) -> None:
    streams = Streams(bus)
    epoch = await streams.ensure_stream(dataclasses.replace(STREAM, max_bytes=1 << 20, subjects=("old.>",)))
    await Publisher(bus).publish("old.a", b"{}", "1")
    assert await streams.ensure_stream(STREAM) == epoch
    await Publisher(bus).publish("commands.a", b"{}", "2")
    state = await streams.stream_state("COMMANDS")
    assert (state.messages, state.epoch) == (2, epoch)
    with pytest.raises(StreamMissingError):
        await Publisher(bus).publish("old.a", b"{}", "3")


async def test_configuration_that_cannot_be_edited_is_an_error(bus: Bus) -> None:
    streams = Streams(bus)
    await streams.ensure_stream(STREAM)
    with pytest.raises(BrokerRefusedError):
        await streams.ensure_stream(dataclasses.replace(STREAM, num_replicas=3))


async def test_full_stream_rejects_messages_and_drops_none(bus: Bus) -> None:
    streams, publisher = Streams(bus), Publisher(bus)
    await streams.ensure_stream(dataclasses.replace(STREAM, max_bytes=4096))
    outcomes = await publisher.publish_many([Message("commands.a", b"x" * 500, str(number)) for number in range(20)])
    stored = [each for each in outcomes if isinstance(each, PubAck)]
    refused = [each for each in outcomes if isinstance(each, BrokerRefusedError)]
    assert [ack.sequence for ack in stored] == list(range(1, len(stored) + 1))
    assert 0 < len(stored) < 20
    assert len(stored) + len(refused) == 20
    assert {error.code for error in refused} == {10077}
    assert await streams.purge_below("COMMANDS", 3) == 2
    assert (await streams.stream_state("COMMANDS")).first_sequence == 3


@pytest.mark.parametrize("sequence", [0, 1])
async def test_purge_below_the_first_message_removes_nothing(bus: Bus, sequence: int) -> None:
    streams = Streams(bus)
    await streams.ensure_stream(STREAM)
    await Publisher(bus).publish("commands.a", b"{}", "1")
    assert await streams.purge_below("COMMANDS", sequence) == 0
    assert (await streams.stream_state("COMMANDS")).messages == 1


async def test_bad_message_of_a_batch_fails_alone(bus: Bus) -> None:
    streams, publisher = Streams(bus), Publisher(bus)
    await streams.ensure_stream(STREAM)
    outcomes: list[PubAck | BusError] = await publisher.publish_many(
        [
            Message("commands.a", b"{}", "1"),
            Message("commands a", b"{}", "2"),
            Message("nobody.takes.this", b"{}", "3"),
            Message("commands.a", b"{}", "1"),
            Message("commands.a", b"x" * (2 << 20), "4"),
            Message("commands.a", b"{}", "5"),
        ]
    )
    assert outcomes[0] == PubAck("COMMANDS", 1, duplicate=False)
    assert outcomes[3] == PubAck("COMMANDS", 1, duplicate=True)
    assert outcomes[5] == PubAck("COMMANDS", 2, duplicate=False)
    kinds = [type(outcomes[index]) for index in (1, 2, 4)]
    assert kinds == [InvalidMessageError, StreamMissingError, InvalidMessageError]


async def test_publish_in_progress_fails_at_once_when_the_broker_dies(broker: Broker, bus: Bus) -> None:
    await Streams(bus).ensure_stream(STREAM)
    publisher = Publisher(bus, window=8)
    broker.freeze()
    messages = [Message("commands.a", b"{}", str(number)) for number in range(20)]

    publishing = asyncio.create_task(publisher.publish_many(messages))
    await asyncio.sleep(0)
    await broker.kill()
    async with asyncio.timeout(3):
        outcomes = await publishing
    assert [type(each) for each in outcomes] == [BusUnavailableError] * 20


async def test_messages_beyond_the_publish_window_are_stored_in_order(bus: Bus) -> None:
    await Streams(bus).ensure_stream(STREAM)
    messages = [Message("commands.a", b"{}", str(number)) for number in range(100)]
    outcomes = await Publisher(bus, window=7).publish_many(messages)
    assert [each.sequence for each in outcomes if isinstance(each, PubAck)] == list(range(1, 101))


async def test_consumers_are_created_edited_listed_and_deleted(bus: Bus) -> None:
    streams, publisher = Streams(bus), Publisher(bus)
    spec = ConsumerSpec("COMMANDS", "runner-1_high", ("commands.*.high.*.runner-1",), inactive_threshold_seconds=3600)
    with pytest.raises(StreamMissingError):
        await streams.ensure_consumer(spec)
    await streams.ensure_stream(STREAM)
    await publisher.publish("commands.acme.high.3.runner-1", b"{}", "1")
    await publisher.publish("commands.acme.low.3.runner-1", b"{}", "2")
    state = await streams.ensure_consumer(spec)
    assert (state.num_pending, state.delivered_stream_seq, state.waiting) == (1, 0, 0)

    edited = dataclasses.replace(spec, max_deliver=3, backoff_seconds=(0.5, 2.0), max_ack_pending=5)
    assert await streams.ensure_consumer(edited) == state
    both = dataclasses.replace(spec, name="both", filter_subjects=("commands.*.high.>", "commands.*.low.>"))
    await streams.ensure_consumer(both)
    assert [each.name for each in await streams.list_consumers("COMMANDS")] == ["both", "runner-1_high"]
    assert (await streams.consumer_state("COMMANDS", "both")).num_pending == 2

    assert await streams.delete_consumer("COMMANDS", "both")
    assert not await streams.delete_consumer("COMMANDS", "both")
    with pytest.raises(ConsumerMissingError):
        await streams.consumer_state("COMMANDS", "both")


async def test_list_of_consumers_continues_beyond_a_page(bus: Bus) -> None:
    streams = Streams(bus)
    await streams.ensure_stream(STREAM)
    for number in range(260):
        await streams.ensure_consumer(ConsumerSpec("COMMANDS", f"c{number:03}", (f"commands.{number}",)))
    assert [state.name for state in await streams.list_consumers("COMMANDS")] == [
        f"c{number:03}" for number in range(260)
    ]


async def test_message_at_its_delivery_limit_stays_and_has_an_advisory(bus: Bus) -> None:
    advisories = StreamSpec(
        "ADVISORIES", ("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.COMMANDS.>",), max_age_seconds=3600
    )
    spec = ConsumerSpec("COMMANDS", "runner", ("commands.>",), ack_wait_seconds=0.2, max_deliver=2)
    rig = Rig(bus, consumer=spec)
    rig.settle_at_once = False
    await rig.streams.ensure_stream(advisories)
    await rig.ensure()
    async with running(rig):
        await rig.publisher.publish("commands.a", b'{"command_id":"c1"}', "1")
        await eventually(lambda: [each.num_delivered for each in rig.deliveries] == [1, 2])
        caught = await until(lambda: rig.streams.read_message("ADVISORIES", 1))
    assert caught is not None
    advisory = orjson.loads(caught.payload)
    assert (advisory["stream"], advisory["consumer"], advisory["deliveries"]) == ("COMMANDS", "runner", 2)
    exhausted = await rig.streams.read_message(advisory["stream"], advisory["stream_seq"])
    assert exhausted is not None
    assert (exhausted.subject, exhausted.payload) == ("commands.a", b'{"command_id":"c1"}')
    state = await rig.streams.consumer_state("COMMANDS", "runner")
    assert (state.num_pending, state.num_ack_pending) == (0, 0)
    assert await rig.streams.read_message("COMMANDS", 99) is None
