"""KeyedBatcher: items that wait together form a batch, and a bad item fails alone."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest

from libs.db import KeyedBatcher
from libs.errors import Reason, ServiceError
from tests.support.eventually import eventually


class Flushes:
    """A flush that records its batches, waits for a gate, and fails for chosen items."""

    def __init__(self, gate: asyncio.Event | None = None) -> None:
        self.batches: list[list[Any]] = []
        self.running = 0
        self.most_running = 0
        self.gate = gate
        self.reject: Callable[[list[Any]], Exception | None] = lambda _: None

    async def __call__(self, key: str, items: Sequence[Any]) -> list[str]:
        self.batches.append(list(items))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await (self.gate.wait() if self.gate else asyncio.sleep(0))
            if (error := self.reject(list(items))) is not None:
                raise error
            return [f"{key}:{item}" for item in items]
        finally:
            self.running -= 1


def bad(*items: Any, error: type[Exception] = psycopg.errors.InvalidTextRepresentation) -> Callable[..., Any]:
    return lambda batch: error("bad data") if set(batch) & set(items) else None


async def run_all(batcher: "KeyedBatcher[str, Any, str]", items: Sequence[Any], key: str = "a") -> list[Any]:
    return await asyncio.gather(*(batcher.run(key, item) for item in items), return_exceptions=True)


async def test_items_of_one_turn_of_the_loop_are_one_batch_with_a_result_each() -> None:
    flush = Flushes()
    batcher = KeyedBatcher(flush)
    assert await run_all(batcher, range(20)) == [f"a:{item}" for item in range(20)]
    assert flush.batches == [list(range(20))]


async def test_items_that_arrive_during_a_batch_form_the_next_one() -> None:
    gate = asyncio.Event()
    flush = Flushes(gate)
    batcher = KeyedBatcher(flush, width=1)
    first = asyncio.create_task(batcher.run("a", 0))
    await eventually(lambda: flush.batches)
    rest = asyncio.create_task(run_all(batcher, range(1, 9)))
    for _ in range(5):
        await asyncio.sleep(0)
    assert flush.batches == [[0]]
    gate.set()
    assert await first == "a:0"
    assert await rest == [f"a:{item}" for item in range(1, 9)]
    assert flush.batches == [[0], list(range(1, 9))]


@pytest.mark.parametrize("width", [1, 2, 3])
async def test_batches_of_one_key_run_concurrently_up_to_the_width(width: int) -> None:
    flush = Flushes()
    batcher = KeyedBatcher(flush, max_batch=3, width=width)
    assert await run_all(batcher, range(40)) == [f"a:{item}" for item in range(40)]
    assert flush.most_running == width
    assert all(len(batch) <= 3 for batch in flush.batches)
    assert sorted(item for batch in flush.batches for item in batch) == list(range(40))


async def test_batches_of_different_keys_do_not_wait_for_each_other() -> None:
    gates = {"a": asyncio.Event(), "b": asyncio.Event()}

    async def flush(key: str, items: Sequence[int]) -> list[int]:
        await gates[key].wait()
        return list(items)

    batcher = KeyedBatcher(flush)
    slow = asyncio.create_task(batcher.run("a", 1))
    gates["b"].set()
    assert await batcher.run("b", 2) == 2
    assert not slow.done()
    gates["a"].set()
    assert await slow == 1


@pytest.mark.parametrize(
    "error",
    [psycopg.errors.InvalidTextRepresentation, psycopg.errors.UniqueViolation, psycopg.errors.ProgramLimitExceeded],
)
async def test_bad_item_fails_alone_anywhere_in_the_batch(error: type[Exception]) -> None:
    flush = Flushes()
    flush.reject = bad(0, 7, 8, error=error)
    outcomes = await run_all(KeyedBatcher(flush), range(16))
    for item, outcome in enumerate(outcomes):
        assert isinstance(outcome, error) if item in (0, 7, 8) else outcome == f"a:{item}"


async def test_error_that_no_item_caused_fails_the_batch_and_not_the_next_one() -> None:
    flush = Flushes()
    error = ServiceError(Reason.DATABASE_UNAVAILABLE, "away")
    flush.reject = lambda batch: error if 3 in batch else None
    batcher = KeyedBatcher(flush)
    assert await run_all(batcher, range(5)) == [error] * 5
    assert len(flush.batches) == 1
    assert await run_all(batcher, range(10, 15)) == [f"a:{item}" for item in range(10, 15)]


@pytest.mark.parametrize(
    "error",
    [psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable],
)
async def test_batch_is_retried_with_the_same_items_after_a_transient_error(
    error: type[Exception],
) -> None:
    flush = Flushes()
    flush.reject = lambda _: error("try again") if len(flush.batches) < 4 else None
    assert await run_all(KeyedBatcher(flush), range(5)) == [f"a:{item}" for item in range(5)]
    assert flush.batches == [list(range(5))] * 4


async def test_batch_that_keeps_failing_is_rejected_as_unavailable() -> None:
    flush = Flushes()
    flush.reject = lambda _: psycopg.errors.SerializationFailure("again")
    (outcome,) = await run_all(KeyedBatcher(flush), [1])
    assert isinstance(outcome, ServiceError)
    assert outcome.reason is Reason.DATABASE_UNAVAILABLE


async def test_cancelled_caller_does_not_affect_others() -> None:
    gate = asyncio.Event()
    flush = Flushes(gate)
    batcher = KeyedBatcher(flush, width=1)
    callers = [asyncio.create_task(batcher.run("a", item)) for item in range(6)]
    await eventually(lambda: flush.batches)
    late = [asyncio.create_task(batcher.run("a", item)) for item in range(10, 14)]
    await asyncio.sleep(0)
    for task in (callers[2], callers[5], late[0]):
        task.cancel()
    gate.set()
    outcomes = await asyncio.gather(*callers, *late, return_exceptions=True)
    assert [o for o in outcomes if isinstance(o, str)] == ["a:0", "a:1", "a:3", "a:4", "a:11", "a:12", "a:13"]
    assert await batcher.run("a", 99) == "a:99"


async def test_cancelled_caller_of_a_failed_batch_does_not_affect_others() -> None:
    gate = asyncio.Event()
    flush = Flushes(gate)
    flush.reject = bad(1)
    batcher = KeyedBatcher(flush)
    callers = [asyncio.create_task(batcher.run("a", item)) for item in range(4)]
    await eventually(lambda: flush.batches)
    callers[1].cancel()
    gate.set()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert [o for o in outcomes if isinstance(o, str)] == ["a:0", "a:2", "a:3"]


@pytest.mark.parametrize("answers", [0, 1, 5])
async def test_flush_with_a_wrong_number_of_results_fails_its_callers(
    answers: int,
) -> None:
    async def flush(key: str, items: Sequence[int]) -> list[int]:
        return [0] * answers if len(items) > 1 else list(items)

    batcher: KeyedBatcher[str, int, int] = KeyedBatcher(flush)
    outcomes = await asyncio.wait_for(
        asyncio.gather(*(batcher.run("a", item) for item in range(3)), return_exceptions=True), 2
    )
    assert all(isinstance(outcome, ValueError) for outcome in outcomes)
    assert await asyncio.wait_for(batcher.run("a", 7), 2) == 7


async def test_drain_waits_for_all_items() -> None:
    flush = Flushes()
    batcher = KeyedBatcher(flush, max_batch=2, width=1)
    callers = [asyncio.create_task(batcher.run(key, item)) for key in "ab" for item in range(7)]
    await asyncio.sleep(0)
    await batcher.drain()
    assert sum(len(batch) for batch in flush.batches) == 14
    await asyncio.gather(*callers)


async def test_state_of_an_idle_key_is_removed() -> None:
    batcher = KeyedBatcher(Flushes())
    await asyncio.gather(*(batcher.run(str(number), 1) for number in range(50)))
    await batcher.drain()
    assert not batcher._waiting
    assert not batcher._under_way
