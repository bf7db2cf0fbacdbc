"""KeyedBatcher: what waits together is done together, and one bad item fails alone."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest

from libs.db import KeyedBatcher
from libs.errors import Reason, ServiceError
from tests.support.eventually import eventually


class Flushes:
    """A flush that notes its batches, waits for a gate, and rejects what it is told to."""

    def __init__(self, gate: asyncio.Event | None = None) -> None:
        self.batches: list[list[Any]] = []
        self.under_way = 0
        self.most_under_way = 0
        self.gate = gate
        self.reject: Callable[[list[Any]], Exception | None] = lambda _: None

    async def __call__(self, key: str, items: Sequence[Any]) -> list[str]:
        self.batches.append(list(items))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await (self.gate.wait() if self.gate else asyncio.sleep(0))
            if (error := self.reject(list(items))) is not None:
                raise error
            return [f"{key}:{item}" for item in items]
        finally:
            self.under_way -= 1


def bad(*items: Any, error: type[Exception] = psycopg.errors.InvalidTextRepresentation) -> Callable[..., Any]:
    return lambda batch: error("bad data") if set(batch) & set(items) else None


async def run_all(batcher: "KeyedBatcher[str, Any, str]", items: Sequence[Any], key: str = "a") -> list[Any]:
    return await asyncio.gather(*(batcher.run(key, item) for item in items), return_exceptions=True)


async def test_what_arrives_in_one_turn_of_the_loop_is_one_batch_and_each_gets_its_own_result() -> None:
    flush = Flushes()
    batcher = KeyedBatcher(flush)
    assert await run_all(batcher, range(20)) == [f"a:{item}" for item in range(20)]
    assert flush.batches == [list(range(20))]


async def test_what_arrives_while_batches_are_under_way_forms_the_next_one() -> None:
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
async def test_no_more_batches_of_a_key_are_under_way_than_its_width(width: int) -> None:
    flush = Flushes()
    batcher = KeyedBatcher(flush, max_batch=3, width=width)
    assert await run_all(batcher, range(40)) == [f"a:{item}" for item in range(40)]
    assert flush.most_under_way == width
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
async def test_bad_data_fails_alone_wherever_it_is_in_the_batch(error: type[Exception]) -> None:
    flush = Flushes()
    flush.reject = bad(0, 7, 8, error=error)
    outcomes = await run_all(KeyedBatcher(flush), range(16))
    for item, outcome in enumerate(outcomes):
        assert isinstance(outcome, error) if item in (0, 7, 8) else outcome == f"a:{item}"


async def test_an_error_that_is_no_ones_data_fails_the_batch_at_once_and_the_next_batch_runs() -> None:
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
async def test_a_batch_that_was_rolled_back_for_a_passing_reason_runs_again_with_the_same_items(
    error: type[Exception],
) -> None:
    flush = Flushes()
    flush.reject = lambda _: error("try again") if len(flush.batches) < 4 else None
    assert await run_all(KeyedBatcher(flush), range(5)) == [f"a:{item}" for item in range(5)]
    assert flush.batches == [list(range(5))] * 4


async def test_a_batch_that_never_gets_through_is_rejected_as_unavailable() -> None:
    flush = Flushes()
    flush.reject = lambda _: psycopg.errors.SerializationFailure("again")
    (outcome,) = await run_all(KeyedBatcher(flush), [1])
    assert isinstance(outcome, ServiceError)
    assert outcome.reason is Reason.DATABASE_UNAVAILABLE


async def test_a_cancelled_caller_costs_the_others_nothing() -> None:
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


async def test_a_cancelled_caller_of_a_rejected_batch_costs_the_others_nothing() -> None:
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
async def test_a_flush_that_answers_too_few_or_too_many_fails_its_callers_instead_of_leaving_them_waiting(
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


async def test_drain_waits_for_all_that_was_given() -> None:
    flush = Flushes()
    batcher = KeyedBatcher(flush, max_batch=2, width=1)
    callers = [asyncio.create_task(batcher.run(key, item)) for key in "ab" for item in range(7)]
    await asyncio.sleep(0)
    await batcher.drain()
    assert sum(len(batch) for batch in flush.batches) == 14
    await asyncio.gather(*callers)


async def test_a_key_without_items_is_forgotten() -> None:
    batcher = KeyedBatcher(Flushes())
    await asyncio.gather(*(batcher.run(str(number), 1) for number in range(50)))
    await batcher.drain()
    assert not batcher._waiting
    assert not batcher._under_way
