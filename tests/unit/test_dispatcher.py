"""The dispatcher keeps to its limits, and survives a database that does not answer."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from structlog.testing import capture_logs

from libs.errors import Reason, ServiceError
from libs.telemetry.readings import Readings
from services.command.dispatch import service as module
from services.command.dispatch.model import Dispatch
from services.command.dispatch.ports import Broker, DeliveryStore, Published
from services.command.dispatch.service import Dispatcher
from tests.support.eventually import eventually

RUNNER = uuid4()
KEY = ("acme", 1)


def dispatches(count: int) -> list[Dispatch]:
    return [Dispatch(KEY[0], 0, KEY[1], RUNNER, uuid4(), 1) for _ in range(count)]


class Memory:
    """The store and the broker of dispatches. `in_stream` counts others in the stream; the `failing` calls fail."""

    def __init__(self) -> None:
        self.waiting: list[Dispatch] = []
        self.published: list[Dispatch] = []
        self.marked: set[UUID] = set()
        self.failing: set[str] = set()
        self.failed: Counter[str] = Counter()
        self.in_stream = 0

    def _answer(self, call: str) -> None:
        if call in self.failing:
            self.failed[call] += 1
            raise ServiceError(Reason.DATABASE_UNAVAILABLE, "the database does not answer")

    async def due(self, each: int, limit: int) -> list[Dispatch]:
        self._answer("due")
        return [one for one in self.waiting if one.command_id not in self.marked]

    async def next_due(self) -> float | None:
        return 0.01

    async def in_flight(self) -> dict[tuple[str, int], int]:
        self._answer("in_flight")
        return {KEY: self.in_stream + len(self.marked)}

    async def mark(self, published: Sequence[Published]) -> None:
        self._answer("mark")
        self.marked |= {one.dispatch.command_id for one in published}

    async def publish(self, dispatches: Sequence[Dispatch]) -> list[Published]:
        self.published += dispatches
        return [Published(one, len(self.published), "epoch") for one in dispatches]


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    monkeypatch.setattr(module, "_ROUND_SECONDS", 0.01)
    monkeypatch.setattr(module, "_MARK_AFTER", 0.01)
    monkeypatch.setattr(module, "_BUSY_PAUSE", 0.001)
    return Memory()


@pytest.fixture
def dispatcher(memory: Memory) -> Dispatcher:
    return Dispatcher(cast(DeliveryStore, memory), cast(Broker, memory))


def running(work: Coroutine[Any, Any, None]) -> AbstractAsyncContextManager[None]:
    """Runs a task in the background, and checks that it has not ended."""

    @asynccontextmanager
    async def run() -> AsyncIterator[None]:
        task = asyncio.create_task(work)
        yield
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    return run()


async def test_dispatches_above_the_limit_are_published_once_others_are_claimed(
    memory: Memory, dispatcher: Dispatcher
) -> None:
    memory.in_stream = module.MAX_IN_FLIGHT
    async with running(dispatcher.rounds()):
        await eventually(lambda: dispatcher.in_flight == {"normal": module.MAX_IN_FLIGHT})
    sent = dispatches(3)
    dispatcher.enqueue(sent)
    memory.failing = {"in_flight"}
    async with running(dispatcher.publish_enqueued()):
        await eventually(lambda: memory.failed["in_flight"])
        assert memory.published == []
        memory.failing, memory.in_stream = set(), module.MAX_IN_FLIGHT - 2
        await eventually(lambda: memory.published == sent[:2])
        memory.in_stream = 0
        await eventually(lambda: memory.published == sent)


async def test_dispatch_that_waited_too_long_is_left_to_the_rounds(
    memory: Memory, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is due by now, so a round of some replica publishes it."""
    sent = dispatches(2)
    monkeypatch.setattr(module, "_ENQUEUED_SECONDS", -1.0)
    dispatcher.enqueue(sent[:1])
    async with running(dispatcher.publish_enqueued()):
        await eventually(lambda: not dispatcher._enqueued)
        monkeypatch.undo()
        dispatcher.enqueue(sent[1:])
        await eventually(lambda: memory.published == sent[1:])


async def test_round_publishes_no_more_than_the_limit(memory: Memory, dispatcher: Dispatcher) -> None:
    memory.in_stream = module.MAX_IN_FLIGHT - 2
    memory.waiting = dispatches(5)
    async with running(dispatcher.rounds()):
        await eventually(lambda: len(memory.marked) == 2)
        assert memory.published == memory.waiting[:2]
        memory.in_stream = 0
        await eventually(lambda: memory.published == memory.waiting)


@pytest.mark.parametrize("call", ["due", "mark"])
async def test_rounds_continue_after_the_database_was_away(memory: Memory, dispatcher: Dispatcher, call: str) -> None:
    memory.waiting, memory.failing = dispatches(2), {call}
    with capture_logs() as logs:
        async with running(dispatcher.rounds()):
            await eventually(lambda: memory.failed[call] > 1)
            memory.failing = set()
            await eventually(lambda: memory.marked == {one.command_id for one in memory.waiting})
    assert {line["event"] for line in logs if line["log_level"] == "warning"} == {"dispatch_round_failed"}


async def test_dispatches_that_cannot_be_marked_stay_published(memory: Memory, dispatcher: Dispatcher) -> None:
    """Their commands become due again, and the stream drops the second message."""
    memory.failing = {"mark"}
    first, second = dispatches(2), dispatches(2)
    with capture_logs() as logs:
        async with running(dispatcher.publish_enqueued()), running(dispatcher.mark_published()):
            dispatcher.enqueue(first)
            await eventually(lambda: memory.failed["mark"])
            memory.failing = set()
            dispatcher.enqueue(second)
            await eventually(lambda: memory.marked == {one.command_id for one in second})
    assert memory.published == first + second
    assert [(line["event"], line["dispatches"]) for line in logs] == [("mark_failed", 2)]


async def test_metrics_count_what_is_in_the_stream_by_priority(memory: Memory, dispatcher: Dispatcher) -> None:
    registry = CollectorRegistry()
    dispatcher.measure(Readings(registry))
    memory.in_stream = 7
    async with running(dispatcher.rounds()):
        await eventually(lambda: dispatcher.in_flight)
    assert b'callboard_dispatches_in_flight{priority="normal"} 7.0' in generate_latest(registry)
