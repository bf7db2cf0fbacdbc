"""The hub follows each partition once, survives failures of the database, and ends its readers when it closes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from structlog.testing import capture_logs

from libs.errors import Reason, ServiceError
from libs.telemetry.readings import Readings
from services.session.events import hub as module
from services.session.events.hub import Hub
from services.session.events.subscriber import Subscriber
from tests.support.event_log import AGENT, PARTITION, TENANT, EventLog
from tests.support.eventually import eventually


@pytest.fixture
def log() -> EventLog:
    return EventLog()


@pytest.fixture
async def hub(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    monkeypatch.setattr(module, "_CHECK_EVERY", 0.01)
    hub = Hub(log.store, log)
    watching = asyncio.create_task(hub.watch())
    yield hub
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def taken(reader: Subscriber) -> list[int]:
    batch = await reader.take(5)
    return [event.position for event in batch.events] if batch else []


async def test_reader_gets_events_although_their_notification_was_lost(hub: Hub, log: EventLog) -> None:
    async with hub.attached(TENANT, PARTITION, AGENT) as reader:
        log.append(2)
        assert await taken(reader) == [1, 2]


async def test_checks_continue_after_the_database_was_away(hub: Hub, log: EventLog) -> None:
    async with hub.attached(TENANT, PARTITION, AGENT) as reader:
        log.is_away = True
        with capture_logs() as logs:
            await eventually(lambda: log.failed_reads)
        assert {line["event"] for line in logs} == {"tail_check_failed"}
        log.is_away = False
        log.append(2)
        assert await taken(reader) == [1, 2]


async def test_partition_whose_position_cannot_be_read_is_unsubscribed_and_tried_again(hub: Hub, log: EventLog) -> None:
    log.is_away = True
    with pytest.raises(ServiceError) as caught:
        async with hub.attached(TENANT, PARTITION, AGENT):
            pass
    assert caught.value.reason is Reason.DATABASE_UNAVAILABLE
    assert log.handlers == []
    assert hub.followed == {"partitions": 0, "readers": 0}
    log.is_away = False
    async with hub.attached(TENANT, PARTITION, AGENT) as reader:
        log.notify(log.append(1))
        assert await taken(reader) == [1]


async def test_partition_without_readers_is_unsubscribed_and_followed_again(hub: Hub, log: EventLog) -> None:
    for position in (1, 2):
        async with hub.attached(TENANT, PARTITION, AGENT) as reader:
            log.notify(log.append(1))
            assert await taken(reader) == [position]
        await eventually(lambda: not log.handlers)


async def test_partition_is_followed_once_for_all_its_readers(hub: Hub, log: EventLog) -> None:
    registry = CollectorRegistry()
    hub.measure(Readings(registry))
    async with AsyncExitStack() as stack:
        attached = [stack.enter_async_context(hub.attached(TENANT, PARTITION, AGENT)) for _ in range(3)]
        readers = await asyncio.gather(*attached)
        assert len(log.handlers) == 1
        metrics = generate_latest(registry)
        assert b'callboard_followed{kind="partitions"} 1.0' in metrics
        assert b'callboard_followed{kind="readers"} 3.0' in metrics
        log.notify(log.append(1))
        assert [await taken(reader) for reader in readers] == [[1]] * 3


async def test_closed_hub_ends_its_readers_and_takes_no_others(hub: Hub, log: EventLog) -> None:
    async with hub.attached(TENANT, PARTITION, AGENT) as reader:
        hub.close()
        assert await reader.take(5) is None
        assert reader.closed
    with pytest.raises(ServiceError) as caught:
        async with hub.attached(TENANT, PARTITION, AGENT):
            pass
    assert caught.value.reason is Reason.SHUTTING_DOWN
