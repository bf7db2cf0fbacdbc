"""The pull loop delivers every message, and no more at a time than there are slots."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.bus import (
    BrokerRefusedError,
    Bus,
    ConsumerSpec,
    Delivery,
    PullLoop,
    PullTimings,
    Streams,
)
from tests.integration.bus_rig import Broker, Rig, broker_in, publish, running, settled, until, until_equal
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


async def test_stored_and_new_messages_are_delivered_and_acknowledged(bus: Bus) -> None:
    rig = Rig(bus)
    await rig.ensure()
    await publish(rig, "before")
    async with running(rig):
        await publish(rig, "after")
        await eventually(lambda: rig.payloads() == [b"before", b"after"])
        first = rig.deliveries[0]
        assert (first.subject, first.stream_sequence, first.num_delivered) == ("commands.a", 1, 1)
        await until(lambda: settled(rig))


async def test_ten_thousand_messages_arrive_once_each_while_slots_change(bus: Bus) -> None:
    rig = Rig(bus, slots=32)
    rig.settle_at_once = False
    await rig.ensure()
    draw = random.Random(7)
    most = 0

    async def settle() -> None:
        nonlocal most
        while True:
            await asyncio.sleep(0)
            most = max(most, len(rig.open))
            for _ in range(draw.randint(0, len(rig.open))):
                rig.open.pop(draw.randrange(len(rig.open))).ack()
            if rig.slots != (slots := draw.choice([rig.slots] * 50 + [1, 8, 32])) and not rig.open:
                rig.slots = slots
            rig.loop.wake()

    settling = asyncio.create_task(settle())
    async with running(rig):
        await publish(rig, *(str(number) for number in range(10_000)))
        await eventually(lambda: len(rig.deliveries) >= 10_000, timeout=60)
        await until(lambda: settled(rig))
    settling.cancel()
    assert sorted(rig.payloads(), key=int) == [b"%d" % number for number in range(10_000)]
    assert most <= 64, "no more than the slots of before and after a change together"


async def test_loop_requests_no_more_messages_than_free_slots(bus: Bus) -> None:
    rig = Rig(bus, slots=3)
    rig.settle_at_once = False
    await rig.ensure()
    await publish(rig, *(str(number) for number in range(10)))
    async with running(rig):
        for taken in (3, 6, 9, 10):
            await until_equal(lambda: len(rig.deliveries), taken)
            state = await rig.streams.consumer_state("COMMANDS", "runner")
            assert state.delivered_stream_seq == taken
            assert state.waiting == (1 if taken == 10 else 0)
            while rig.open:
                rig.open.pop().ack()
            rig.loop.wake()


async def test_idle_loop_renews_its_requests_without_restarting(bus: Bus) -> None:
    rig = Rig(bus, timings=PullTimings(expires=0.3, heartbeat=0.1, silence=0.4, check=0.05))
    async with running(rig):
        await eventually(lambda: rig.epochs)
        beginning = asyncio.get_running_loop().time()
        await eventually(lambda: asyncio.get_running_loop().time() - beginning > 2)
        state = await rig.streams.consumer_state("COMMANDS", "runner")
        assert state.waiting <= 2
        await publish(rig, "0")
        await eventually(lambda: rig.payloads() == [b"0"])
        assert rig.ensured == 1


async def test_nak_delays_redelivery_and_term_ends_it(bus: Bus) -> None:
    rig = Rig(bus)
    rig.settle_at_once = False
    async with running(rig):
        await eventually(lambda: rig.epochs)
        await publish(rig, "0")
        first = (await eventually(lambda: rig.open))[0]
        with pytest.raises(ValueError, match="above 0"):
            first.nak(0)
        start = asyncio.get_running_loop().time()
        first.nak(0.3)
        second = (await eventually(lambda: rig.open[1:]))[0]
        assert asyncio.get_running_loop().time() - start >= 0.29
        assert second.num_delivered == 2
        second.term("it is\r\nundecodable")
        await until(lambda: settled(rig))
        assert bus.connected


async def test_message_whose_handler_raised_is_delivered_again(bus: Bus) -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    spec = ConsumerSpec("COMMANDS", "runner", ("commands.>",), ack_wait_seconds=0.2)
    rig = Rig(bus, consumer=spec)
    seen: list[int] = []

    def fail_once(delivery: Delivery) -> None:
        seen.append(delivery.num_delivered)
        if len(seen) == 1:
            raise LookupError("a bug")
        delivery.ack()

    rig.loop = PullLoop(bus, "COMMANDS", "runner", free_slots=lambda: 1, on_message=fail_once, ensure=rig.ensure)
    async with running(rig):
        await eventually(lambda: rig.epochs)
        await publish(rig, "0")
        await eventually(lambda: seen == [1, 2])
    assert [type(each) for each in reported] == [LookupError]


async def test_loop_retries_rejections_of_the_broker_and_raises_other_errors(bus: Bus) -> None:
    calls = 0

    async def ensure() -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise BrokerRefusedError(1, "not now")
        raise LookupError("a bug")

    loop = PullLoop(bus, "COMMANDS", "runner", free_slots=lambda: 1, on_message=lambda _: None, ensure=ensure)
    with pytest.raises(LookupError):
        await asyncio.wait_for(loop.run(), 5)
    assert calls == 3


async def test_stopped_loop_leaves_no_pull_request(bus: Bus) -> None:
    rig = Rig(bus)
    async with running(rig):
        await eventually(lambda: rig.epochs)
        await publish(rig, "0")
        await eventually(lambda: rig.deliveries)
    await publish(rig, "1")
    await until(lambda: no_request(rig.streams))
    other = Rig(bus)
    async with running(other):
        await eventually(lambda: other.payloads() == [b"1"])
    assert rig.payloads() == [b"0"]
    assert other.deliveries[0].num_delivered == 1


async def no_request(streams: Streams) -> bool:
    return (await streams.consumer_state("COMMANDS", "runner")).waiting == 0
