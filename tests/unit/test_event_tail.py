"""The live tail delivers each event once and in order, whatever happens to notifications and to the database."""

import asyncio

import pytest
from structlog.testing import capture_logs

from services.session.events.subscriber import Batch, Subscriber
from services.session.events.tail import Tail
from tests.support.event_log import AGENT, PARTITION, TENANT, EventLog
from tests.support.eventually import eventually


class Reader(Subscriber):
    """A reader of the agent's events."""

    def __init__(self, tail: Tail) -> None:
        super().__init__()
        self.positions: list[int] = []
        tail.attach(AGENT, self)

    def push(self, batch: Batch) -> None:
        self.positions += [event.position for event in batch.events]


@pytest.fixture
def log() -> EventLog:
    return EventLog()


def begun(log: EventLog) -> Tail:
    tail = Tail(TENANT, PARTITION, log.store)
    log.handlers.append(tail.on_notification)
    tail.begin(len(log.events))
    return tail


async def test_notification_that_overtook_another_is_delivered_after_it(log: EventLog) -> None:
    reader = Reader(begun(log))
    first, second = log.append(2), log.append(3)
    log.notify(second)
    log.notify(first)
    await eventually(lambda: reader.positions == [1, 2, 3, 4, 5])
    assert log.reads == 0, "the notifications carried everything"


async def test_repeated_notification_is_delivered_once(log: EventLog) -> None:
    reader = Reader(begun(log))
    events = log.append(2)
    for _ in range(2):
        log.notify(events)
    assert reader.positions == [1, 2]


async def test_events_of_a_lost_notification_are_read_from_storage(log: EventLog) -> None:
    reader = Reader(begun(log))
    log.append(2)
    log.notify(log.append(1))
    await eventually(lambda: reader.positions == [1, 2, 3])


async def test_read_that_fails_is_repeated_by_the_next_check(log: EventLog) -> None:
    tail = begun(log)
    reader = Reader(tail)
    log.is_away = True
    with capture_logs() as logs:
        log.notify(log.append(2), with_lines=False)
        await eventually(lambda: log.failed_reads)
    assert [line["event"] for line in logs] == ["tail_read_failed"]
    log.is_away = False
    tail.check(2)
    await eventually(lambda: reader.positions == [1, 2])


async def test_announced_position_that_storage_does_not_have_is_waited_for(log: EventLog) -> None:
    """A replica of the database can be behind the notification."""
    tail = begun(log)
    reader = Reader(tail)
    tail.check(2)
    await eventually(lambda: log.reads == 1)
    log.append(2)
    tail.check(2)
    await eventually(lambda: reader.positions == [1, 2])


async def test_stopped_tail_delivers_nothing_more(log: EventLog) -> None:
    tail = begun(log)
    reader = Reader(tail)
    log.notify(log.append(2), with_lines=False)
    tail.stop()
    await eventually(lambda: not any(task.get_name().startswith("fill ") for task in asyncio.all_tasks()))
    assert (reader.positions, log.reads) == ([], 0)
