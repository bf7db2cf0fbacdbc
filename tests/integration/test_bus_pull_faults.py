"""The pull loop survives every fault of the broker."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.bus import (
    Bus,
    ConsumerSpec,
    PullTimings,
)
from tests.integration.bus_rig import Broker, Rig, broker_in, publish, running, settled, until, until_equal
from tests.support.eventually import eventually

QUICK = ConsumerSpec("COMMANDS", "runner", ("commands.>",), ack_wait_seconds=1)


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


@pytest.mark.parametrize("wiped", [False, True], ids=["store kept", "store wiped"])
async def test_loop_survives_kills_of_the_broker(broker: Broker, bus: Bus, *, wiped: bool) -> None:
    # The broker syncs acknowledgements late: after a kill, acknowledged messages may come again.
    rig = Rig(bus, consumer=QUICK)
    async with running(rig):
        for number in range(3):
            await until_equal(lambda: len(rig.epochs), number + 1)
            await publish(rig, f"{number}")
            await until_equal(lambda: set(rig.payloads()), {b"%d" % each for each in range(number + 1)})
            await until(lambda: settled(rig))
            await broker.kill()
            await eventually(lambda: not bus.connected)
            if wiped:
                broker.wipe()
            await broker.start()
    assert len(set(rig.epochs)) == (len(rig.epochs) if wiped else 1)


async def test_messages_in_flight_when_the_broker_is_killed_are_delivered_again(broker: Broker, bus: Bus) -> None:
    rig = Rig(bus, consumer=QUICK)
    rig.settle_at_once = False
    async with running(rig):
        await eventually(lambda: rig.epochs)
        await publish(rig, *(str(number) for number in range(10)))
        await eventually(lambda: len(rig.deliveries) == 10)
        await broker.kill()
        await eventually(lambda: not bus.connected)
        for stale in rig.open:
            stale.ack()  # lost with the connection, by design
        rig.open.clear()
        rig.settle_at_once = True
        await broker.start()
        await eventually(lambda: len(rig.deliveries) == 20)
        await until(lambda: settled(rig))
    assert sorted(rig.payloads()[10:]) == sorted(rig.payloads()[:10])


async def test_acknowledgement_from_before_a_wipe_has_no_effect(broker: Broker, bus: Bus) -> None:
    rig = Rig(bus)
    rig.settle_at_once = False
    async with running(rig):
        await eventually(lambda: rig.epochs)
        await publish(rig, "old")
        old = (await eventually(lambda: rig.open))[0]
        await broker.kill()
        await eventually(lambda: not bus.connected)
        broker.wipe()
        await broker.start()
        await eventually(lambda: len(rig.epochs) == 2)
        await publish(rig, "new")
        new = (await eventually(lambda: rig.open[1:]))[0]
        assert new.stream_sequence == old.stream_sequence
        old.ack()
        state = await rig.streams.consumer_state("COMMANDS", "runner")
        assert state.num_ack_pending == 1


@pytest.mark.parametrize("what", ["consumer", "stream"])
@pytest.mark.parametrize("waiting", [True, False], ids=["while pulling", "while all slots are taken"])
async def test_deleted_stream_and_consumer_are_recreated(bus: Bus, what: str, *, waiting: bool) -> None:
    # A request that arrives while its stream is deleted gets no answer: the loop notices the silence.
    rig = Rig(bus, slots=1, timings=PullTimings(expires=1, heartbeat=0.2, silence=2, check=0.1))
    rig.settle_at_once = waiting
    async with running(rig):
        await eventually(lambda: rig.epochs)
        await publish(rig, "0")
        await eventually(lambda: len(rig.deliveries) == 1)
        if what == "consumer":
            await rig.streams.delete_consumer("COMMANDS", "runner")
        else:
            await rig.streams.delete_stream("COMMANDS")
        rig.settle_at_once = True
        rig.open.clear()
        rig.loop.wake()
        await eventually(lambda: len(rig.epochs) > 1)
        await publish(rig, "1")
        await eventually(lambda: rig.payloads()[-1] == b"1")


async def test_loop_resumes_after_the_broker_was_frozen(broker: Broker, bus: Bus) -> None:
    rig = Rig(bus, timings=PullTimings(expires=1, heartbeat=0.1, silence=1, check=0.05))
    async with running(rig):
        await eventually(lambda: rig.epochs)
        await publish(rig, "0")
        await eventually(lambda: len(rig.deliveries) == 1)
        broker.freeze()
        await eventually(lambda: rig.ensured > 1)
        assert bus.connected, "the silence was noticed, not the loss of a connection"
        broker.thaw()
        await eventually(lambda: len(rig.epochs) > 1)
        await publish(rig, "1")
        await eventually(lambda: rig.payloads() == [b"0", b"1"])
