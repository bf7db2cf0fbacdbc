"""A guard ends a block of its task with an error, and leaves the task's own errors and cancellations alone."""

import asyncio

import pytest

from libs.errors import Reason, ServiceError
from libs.rpc.guards import Guard

CUT, LATER = ServiceError(Reason.SHUTTING_DOWN, "cut"), ServiceError(Reason.CREDENTIALS_INVALID, "later")


async def test_guard_is_made_inside_a_task() -> None:
    made: asyncio.Future[Guard] = asyncio.get_running_loop().create_future()

    def make() -> None:
        try:
            made.set_result(Guard())
        except RuntimeError as error:
            made.set_exception(error)

    asyncio.get_running_loop().call_soon(make)
    with pytest.raises(RuntimeError, match="inside the task"):
        await made


async def test_first_cut_decides() -> None:
    async def work() -> None:
        with Guard() as guard:
            guard.cut(CUT)
            guard.cut(LATER)
            await asyncio.Event().wait()

    with pytest.raises(ServiceError) as caught:
        await work()
    assert caught.value is CUT


async def test_cut_after_the_block_has_no_effect() -> None:
    with Guard() as guard:
        pass
    guard.cut(CUT)
    await asyncio.sleep(0)


async def test_error_of_the_clean_up_replaces_the_cut() -> None:
    async def work() -> None:
        with Guard() as guard:
            guard.cut(CUT)
            try:
                await asyncio.Event().wait()
            finally:
                raise LookupError

    with pytest.raises(LookupError):
        await work()


async def test_task_that_is_cancelled_too_stays_cancelled() -> None:
    async def work() -> None:
        with Guard() as guard:
            guard.cut(CUT)
            task.cancel()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.wait([task])
    assert task.cancelled()
