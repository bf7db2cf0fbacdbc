"""Isolation: which commands of a session may run at the same time after its connection broke."""

import asyncio
from contextlib import suppress
from uuid import UUID, uuid4

import pytest

from services.runner.attempts.isolation import Isolation
from tests.support.eventually import eventually

SESSION = uuid4()


class Holder:
    """A task that holds the session's lock until it is released. `log` records the holders in order."""

    def __init__(self, isolation: Isolation, name: str, log: list[str], *, alone: bool, session: UUID) -> None:
        self.may_end = asyncio.Event()
        self.is_running = False
        self._name = name
        self._log = log
        self.task = asyncio.create_task(self._hold(isolation, session, alone=alone), name=name)

    async def _hold(self, isolation: Isolation, session: UUID, *, alone: bool) -> None:
        async with isolation.running(session, alone=alone):
            self.is_running = True
            self._log.append(self._name)
            try:
                await self.may_end.wait()
            finally:
                self.is_running = False

    async def end(self) -> None:
        """Release it, and wait until it has ended."""
        self.may_end.set()
        await asyncio.wait_for(self.task, 2)

    async def cancel(self) -> None:
        """Cancel it, and wait until it has ended."""
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(self.task, 2)
        assert self.task.cancelled()


class Session:
    """Creates the holders of one isolation and records their order."""

    def __init__(self) -> None:
        self.isolation = Isolation()
        self.order: list[str] = []

    async def start(self, name: str, *, alone: bool = False, session: UUID = SESSION) -> Holder:
        """Start a holder, and let it run as far as it can."""
        holder = Holder(self.isolation, name, self.order, alone=alone, session=session)
        await settled()
        return holder


async def settled() -> None:
    """Let every task run as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_ordinary_commands_run_concurrently() -> None:
    session = Session()
    holders = [await session.start(str(number)) for number in range(3)]
    assert [holder.is_running for holder in holders] == [True] * 3
    for holder in holders:
        await holder.end()


async def test_suspect_waits_until_all_running_commands_have_ended() -> None:
    session = Session()
    first, second = await session.start("first"), await session.start("second")
    alone = await session.start("alone", alone=True)
    await first.end()
    await settled()
    assert not alone.is_running
    await second.end()
    await eventually(lambda: alone.is_running)
    await alone.end()


async def test_nothing_runs_beside_a_suspect() -> None:
    session = Session()
    alone = await session.start("alone", alone=True)
    other, second = await session.start("other"), await session.start("second", alone=True)
    assert (alone.is_running, other.is_running, second.is_running) == (True, False, False)
    await alone.end()
    await eventually(lambda: other.is_running)
    assert not second.is_running
    await other.end()
    await eventually(lambda: second.is_running)
    await second.end()


async def test_waiting_commands_run_in_order_of_arrival() -> None:
    """An ordinary command waits behind a suspect even if it could run now; otherwise the suspect might never run."""
    session = Session()
    holders = [await session.start("a")]
    for name in ("B", "c", "d", "E", "f"):
        holders.append(await session.start(name, alone=name.isupper()))  # noqa: PERF401 - one after the other
    groups = []
    while running := [holder for holder in holders if holder.is_running]:
        groups.append("".join(holder.task.get_name() for holder in running))
        for holder in running:
            await holder.end()
        await settled()
    assert groups == ["a", "B", "cd", "E", "f"]
    assert session.order == ["a", "B", "c", "d", "E", "f"]


async def test_cancelled_waiter_unblocks_those_behind_it() -> None:
    session = Session()
    first = await session.start("first")
    alone = await session.start("alone", alone=True)
    behind = [await session.start(f"behind {number}") for number in range(2)]
    assert not any(holder.is_running for holder in behind)
    await alone.cancel()
    await settled()
    assert all(holder.is_running for holder in (first, *behind))
    for holder in (first, *behind):
        await holder.end()


async def test_waiter_cancelled_in_the_middle_of_the_queue_blocks_no_one() -> None:
    session = Session()
    first = await session.start("first")
    waiting = [await session.start(name, alone=True) for name in ("second", "third", "fourth")]
    await waiting[1].cancel()
    assert not waiting[0].is_running
    await first.end()
    await eventually(lambda: waiting[0].is_running)
    await waiting[0].end()
    await eventually(lambda: waiting[2].is_running)
    await waiting[2].end()
    assert session.order == ["first", "second", "fourth"]


async def test_waiter_cancelled_as_it_gets_the_lock_releases_it() -> None:
    """It got the lock and never ran."""
    session = Session()
    async with session.isolation.running(SESSION, alone=True):
        unlucky, behind = await session.start("unlucky", alone=True), await session.start("behind", alone=True)
    unlucky.task.cancel()  # it has the lock, and has not run since
    await eventually(lambda: behind.is_running)
    assert unlucky.task.cancelled()
    assert session.order == ["behind"]
    await behind.end()


@pytest.mark.parametrize("alone", [False, True])
async def test_failed_or_cancelled_holder_releases_the_lock(alone: bool) -> None:  # noqa: FBT001
    session = Session()
    with pytest.raises(ValueError, match="broken"):
        async with session.isolation.running(SESSION, alone=alone):
            raise ValueError("broken")
    cancelled = await session.start("cancelled", alone=alone)
    after = await session.start("after", alone=True)
    assert not after.is_running
    await cancelled.cancel()
    await eventually(lambda: after.is_running)
    await after.end()


async def test_sessions_do_not_wait_for_each_other() -> None:
    session = Session()
    here = await session.start("here", alone=True)
    there = await session.start("there", alone=True, session=uuid4())
    assert here.is_running
    assert there.is_running
    await here.end()
    await there.end()


async def test_unused_lock_is_deleted() -> None:
    session = Session()
    first, second = await session.start("first"), await session.start("second", alone=True)
    third = await session.start("third")
    await third.cancel()
    await first.end()
    assert session.isolation._locks, "the second one runs"
    await second.end()
    assert not session.isolation._locks
    only, behind = await session.start("only", alone=True), await session.start("behind")
    await behind.cancel()
    await only.cancel()
    assert not session.isolation._locks


async def test_cancelled_waiter_does_not_delete_a_newer_lock() -> None:
    """The last holder ends, another one starts, and only then the cancelled waiter ends."""
    session = Session()
    first, waiting = await session.start("first"), await session.start("waiting", alone=True)
    first.may_end.set()
    running = Holder(session.isolation, "running", session.order, alone=False, session=SESSION)
    await waiting.cancel()
    alone = await session.start("alone", alone=True)
    assert (running.is_running, alone.is_running) == (True, False)
    await running.end()
    await settled()
    assert alone.is_running
    await alone.end()
