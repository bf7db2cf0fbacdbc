"""The stream of dispatches: whether it stores, when it is recreated, and what is trimmed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from libs.bus import Bus, Delivery, PullLoop, Streams, StreamState
from libs.bus.api import JetStreamApi
from libs.dispatches import COMMANDS, runner_consumer
from services.command.dispatch import broker as dispatches
from services.command.dispatch.broker import JetStreamBroker
from services.command.dispatch.model import Dispatch
from services.command.dispatch.ports import BrokerAwayError
from tests.integration.bus_rig import Broker, broker_in
from tests.support.eventually import eventually

PRIORITY = 1


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Broker]:
    async with broker_in(tmp_path) as server:
        await server.start()
        yield server


@pytest.fixture
async def bus(server: Broker) -> AsyncIterator[Bus]:
    bus = await Bus.connect(server.url, "test")
    yield bus
    await bus.close(1)


async def seal(bus: Bus) -> None:
    """Makes the stream reject every write, as after a failed one. A sealed stream cannot be unsealed."""
    api = JetStreamApi(bus)
    config = (await api.ask(f"STREAM.INFO.{COMMANDS.name}"))["config"]
    await api.ask(f"STREAM.UPDATE.{COMMANDS.name}", {**config, "sealed": True})


async def publish(broker: JetStreamBroker, runner_id: UUID, count: int) -> list[int]:
    """Publishes dispatches to the runner, one in each message, and returns their sequence numbers."""
    found = [
        await broker.publish([Dispatch("acme", 0, PRIORITY, runner_id, uuid4(), 1)]) for _ in range(count)
    ]  # fmt: skip
    return [published[0].sequence for published in found]


async def take(bus: Bus, runner_id: UUID, count: int) -> None:
    """Takes `count` dispatches as the runner, and acknowledges them."""
    taken: list[Delivery] = []

    def on_message(delivery: Delivery) -> None:
        delivery.ack()
        taken.append(delivery)

    async def nothing_to_ensure() -> None: ...

    name = runner_consumer(runner_id, PRIORITY).name
    pull = PullLoop(
        bus, COMMANDS.name, name, free_slots=lambda: 10, on_message=on_message, ensure=nothing_to_ensure
    )  # fmt: skip
    task = asyncio.create_task(pull.run())
    await eventually(lambda: len(taken) == count)
    pull.stop()
    await task


async def test_stream_that_stores_nothing_is_noticed_and_recreated_later(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = JetStreamBroker(bus)
    stores = [broker.stores]
    epoch = await broker.ensure()
    stores.append(broker.stores)
    await seal(bus)
    for _ in range(2):
        with pytest.raises(BrokerAwayError, match="stores nothing"):
            await broker.ensure()
        stores.append(broker.stores)
    monkeypatch.setattr(dispatches, "_BROKEN_SECONDS", 0.0)
    assert await broker.ensure() != epoch
    assert [*stores, broker.stores] == [False, True, False, False, True]


async def test_stream_recreated_by_another_replica_is_kept(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = JetStreamBroker(bus), JetStreamBroker(bus)
    await first.ensure()
    await second.ensure()
    await seal(bus)
    for broker in (first, second):
        with pytest.raises(BrokerAwayError):
            await broker.ensure()
    monkeypatch.setattr(dispatches, "_BROKEN_SECONDS", 0.0)
    epoch = await first.ensure()
    assert await second.ensure() == epoch
    assert (await Streams(bus).stream_state(COMMANDS.name)).epoch == epoch


async def test_stream_is_kept_while_the_broker_does_not_answer(
    server: Broker, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatches, "_BROKEN_SECONDS", 0.0)
    broker = JetStreamBroker(bus)
    epoch = await broker.ensure()
    await server.kill()
    await eventually(lambda: not bus.connected)
    for _ in range(2):
        with pytest.raises(BrokerAwayError):
            await broker.ensure()
    await server.start()
    await eventually(lambda: bus.connected)
    assert await broker.ensure() == epoch


async def test_deleted_stream_is_recreated_with_a_new_epoch(bus: Bus) -> None:
    broker = JetStreamBroker(bus)
    epoch = await broker.ensure()
    await Streams(bus).delete_stream(COMMANDS.name)
    assert await broker.ensure() != epoch
    assert broker.stores


@pytest.mark.parametrize("kept_seconds", [0.0, 60.0])
async def test_dispatches_acknowledged_by_all_consumers_are_trimmed_later(
    bus: Bus, monkeypatch: pytest.MonkeyPatch, kept_seconds: float
) -> None:
    monkeypatch.setattr(dispatches, "_KEPT_SECONDS", kept_seconds)
    broker, streams = JetStreamBroker(bus), Streams(bus)
    await broker.ensure()
    quick, slow = uuid4(), uuid4()
    for runner_id in (quick, slow):
        await streams.ensure_consumer(runner_consumer(runner_id, PRIORITY))
    (held,) = await publish(broker, slow, 1)
    await publish(broker, quick, 3)
    await take(bus, quick, 3)
    for _ in range(3):
        await broker.trim()
    first = (await streams.stream_state(COMMANDS.name)).first_sequence
    assert first <= held, "no runner has taken it yet"
    await streams.delete_consumer(COMMANDS.name, runner_consumer(slow, PRIORITY).name)
    for _ in range(2):
        await broker.trim()
    left = (await streams.stream_state(COMMANDS.name)).first_sequence
    assert (left > held) is (kept_seconds == 0.0)


async def test_trim_removes_nothing_new_from_a_recreated_stream(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old sequence numbers are higher than any in the new stream."""
    monkeypatch.setattr(dispatches, "_KEPT_SECONDS", 0.0)
    broker, streams = JetStreamBroker(bus), Streams(bus)
    await broker.ensure()
    runner_id = uuid4()
    await publish(broker, runner_id, 20)
    await broker.trim()
    await streams.delete_stream(COMMANDS.name)
    await broker.ensure()
    await streams.ensure_consumer(runner_consumer(runner_id, PRIORITY))
    (sequence,) = await publish(broker, runner_id, 1)
    await broker.trim()
    assert await streams.read_message(COMMANDS.name, sequence) is not None


async def test_dispatch_published_during_the_check_is_not_taken_for_a_rollback(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = JetStreamBroker(bus)
    await broker.ensure()
    answer = Streams.stream_state

    async def late(streams: Streams, name: str) -> StreamState:
        state = await answer(streams, name)
        await publish(broker, uuid4(), 3)
        return state

    monkeypatch.setattr(Streams, "stream_state", late)
    with capture_logs() as logs:
        await broker.ensure()
    assert [line["event"] for line in logs if line["event"] == "stream_rolled_back"] == []
