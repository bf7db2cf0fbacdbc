"""The bus reconnects by itself, and nothing waits long for a broker that is down."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.bus import Bus, BusUnavailableError, InvalidMessageError, Notifications, Publisher, Streams, client
from tests.integration.bus_rig import STREAM, Broker, broker_in, until_equal
from tests.support.eventually import eventually


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    async with broker_in(tmp_path) as broker:
        yield broker


@pytest.fixture
async def bus(broker: Broker) -> AsyncIterator[Bus]:
    await broker.start()
    bus = await Bus.connect(broker.url, "test")
    yield bus
    await bus.close(1)


async def test_service_starts_without_a_broker_and_connects_later(broker: Broker) -> None:
    bus = await Bus.connect(broker.url, "test", patience_seconds=0.2)
    reconnections: list[bool] = []
    bus.on_reconnect(lambda: reconnections.append(bus.connected))
    heard: list[bytes] = []
    notifications = Notifications(bus)
    await notifications.subscribe("events.>", lambda _subject, payload: heard.append(payload))
    assert not bus.connected
    assert not notifications.publish("events.a", b"dropped")
    with pytest.raises(BusUnavailableError):
        await Publisher(bus).publish("commands.a", b"", "1")

    await broker.start()
    await eventually(lambda: reconnections == [True])
    assert notifications.publish("events.a", b"heard")
    await eventually(lambda: heard == [b"heard"])
    await bus.close()
    assert not bus.connected


async def test_notifications_arrive_again_after_the_broker_was_killed(broker: Broker, bus: Bus) -> None:
    heard: list[tuple[str, bytes]] = []
    notifications = Notifications(bus)
    subscription = await notifications.subscribe("events.*.1", lambda *notification: heard.append(notification))
    for restart in range(3):
        notifications.publish("events.acme.1", b"%d" % restart)
        notifications.publish("events.acme.2", b"not asked for")
        await until_equal(lambda: len(heard), restart + 1)
        await broker.kill()
        await eventually(lambda: not bus.connected)
        await broker.start()
        await eventually(lambda: bus.connected)
    assert heard == [("events.acme.1", b"0"), ("events.acme.1", b"1"), ("events.acme.1", b"2")]

    subscription.unsubscribe()
    subscription.unsubscribe()
    notifications.publish("events.acme.1", b"unheard")
    assert bus.connection is not None
    assert await bus.connection.synchronise(2)
    assert len(heard) == 3


async def test_connection_that_the_broker_closes_is_reopened(bus: Bus) -> None:
    first = bus.connection
    assert first is not None
    reconnections: list[None] = []
    forget = bus.on_reconnect(lambda: reconnections.append(None))
    first.send(b"NONSENSE\r\n")
    await eventually(lambda: reconnections)
    assert bus.connection is not None
    assert bus.connection is not first
    forget()


async def test_wrong_password_is_retried_and_never_connects(broker: Broker) -> None:
    await broker.start()
    address = broker.url.rpartition("@")[2]
    bus = await Bus.connect(f"nats://callboard:wrong@{address}", "test", patience_seconds=0.5)
    assert not bus.connected
    assert not bus.task.done()
    await bus.close()


async def test_each_notification_reaches_one_member_of_a_queue_group(bus: Bus, broker: Broker) -> None:
    other = await Bus.connect(broker.url, "other")
    heard: list[bytes] = []
    for each in (bus, other):
        await Notifications(each).subscribe("nudge", lambda _, payload: heard.append(payload), queue="runners")
    for number in range(100):
        Notifications(bus).publish("nudge", b"%d" % number)
    await eventually(lambda: len(heard) >= 100)
    assert sorted(heard) == sorted(b"%d" % number for number in range(100))
    await other.close()


async def test_handler_that_raises_does_not_affect_other_messages(bus: Bus) -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    heard: list[bytes] = []

    def handler(_subject: str, payload: bytes) -> None:
        if payload == b"bad":
            raise LookupError("a bug")
        heard.append(payload)

    notifications = Notifications(bus)
    await notifications.subscribe("events", handler)
    for payload in (b"bad", b"good"):
        notifications.publish("events", payload)
    await eventually(lambda: heard == [b"good"])
    assert [type(each) for each in reported] == [LookupError]
    assert bus.connected


async def test_message_that_would_break_the_protocol_is_rejected(bus: Bus) -> None:
    notifications, publisher = Notifications(bus), Publisher(bus)
    for subject in ("", "a b", "a\r\nPUB b 0\r\n", "a\tb", "a\x00"):
        with pytest.raises(InvalidMessageError):
            notifications.publish(subject, b"")
    with pytest.raises(InvalidMessageError):
        notifications.publish("events", b"x" * (1 << 20) + b"x")
    for message_id in ("", "1\r\nOther: header"):
        with pytest.raises(InvalidMessageError):
            await publisher.publish("commands.a", b"", message_id)
    with pytest.raises(InvalidMessageError):
        await Streams(bus).stream_state("a.b")
    assert bus.connected


async def test_large_and_binary_payloads_arrive_unchanged(bus: Bus) -> None:
    heard: list[bytes] = []
    notifications = Notifications(bus)
    await notifications.subscribe("events", lambda _, payload: heard.append(payload))
    payloads = [bytes(range(256)) * size for size in (0, 1, 127, 128, 300, 4096)]
    for payload in payloads:
        notifications.publish("events", payload)
    await eventually(lambda: len(heard) == len(payloads))
    assert heard == payloads


async def test_frozen_broker_blocks_no_call_longer_than_its_limit(broker: Broker, bus: Bus) -> None:
    notifications, streams = Notifications(bus), Streams(bus)
    broker.freeze()
    start = time.monotonic()
    sent = [notifications.publish("events", b"x" * (512 * 1024)) for _ in range(100)]
    assert time.monotonic() - start < 1
    assert not all(sent), "messages that a frozen broker does not read are dropped at some point"
    with pytest.raises(BusUnavailableError):
        await streams.stream_state("COMMANDS")
    assert time.monotonic() - start < 7
    start = time.monotonic()
    await bus.close(0.5)
    assert time.monotonic() - start < 2
    broker.thaw()


async def test_frozen_broker_counts_as_lost_while_messages_are_sent(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pings are sent also while there is traffic. nats-core pings only after a silence, and would never notice."""
    monkeypatch.setattr(client, "PING_SECONDS", 0.2)
    await broker.start()
    bus = await Bus.connect(broker.url, "test")
    broker.freeze()

    def sent_and_lost() -> bool:
        Notifications(bus).publish("events", b"x")
        return not bus.connected

    await eventually(sent_and_lost, timeout=3)
    broker.thaw()
    await bus.close()


async def test_request_times_out_after_five_seconds(broker: Broker, bus: Bus) -> None:
    streams, publisher = Streams(bus), Publisher(bus, window=2)
    await streams.ensure_stream(STREAM)
    broker.freeze()
    start = time.monotonic()
    asked = [publisher.publish("commands.a", b"{}", str(number)) for number in range(4)]
    outcomes = await asyncio.gather(*asked, streams.stream_state("COMMANDS"), return_exceptions=True)
    assert {type(each) for each in outcomes} == {BusUnavailableError}
    assert 4.9 < time.monotonic() - start < 6
    broker.thaw()
    await publisher.publish("commands.a", b"{}", "5")
    assert (await streams.stream_state("COMMANDS")).messages >= 3, "a request that timed out may be stored nevertheless"
