"""Isolation: who runs beside whom in a session whose agent's connection broke while commands ran."""

import asyncio
from contextlib import suppress
from uuid import UUID, uuid4

import pytest

from services.runner.attempts.isolation import Isolation
from tests.support.eventually import eventually

SESSION = uuid4()


class Visit:
    """A task that holds a place until it is let go; `log` notes who came in, in order."""

    def __init__(self, isolation: Isolation, name: str, log: list[str], *, alone: bool, session: UUID) -> None:
        self.gate = asyncio.Event()
        self.is_inside = False
        self._name = name
        self._log = log
        self.task = asyncio.create_task(self._stay(isolation, session, alone=alone), name=name)

    async def _stay(self, isolation: Isolation, session: UUID, *, alone: bool) -> None:
        async with isolation.running(session, alone=alone):
            self.is_inside = True
            self._log.append(self._name)
            try:
                await self.gate.wait()
            finally:
                self.is_inside = False

    async def end(self) -> None:
        """Lets it go, and waits until it has."""
        self.gate.set()
        await asyncio.wait_for(self.task, 2)

    async def cancel(self) -> None:
        """Cancels it, and waits until it has ended."""
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(self.task, 2)
        assert self.task.cancelled()


class Session:
    """A session's visits, by their names."""

    def __init__(self) -> None:
        self.isolation = Isolation()
        self.order: list[str] = []

    async def visit(self, name: str, *, alone: bool = False, session: UUID = SESSION) -> Visit:
        """Starts a visit and lets it come as far as it can."""
        visit = Visit(self.isolation, name, self.order, alone=alone, session=session)
        await settled()
        return visit


async def settled() -> None:
    """Lets every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_need_not_be_alone_runs_side_by_side() -> None:
    session = Session()
    visits = [await session.visit(str(number)) for number in range(3)]
    assert [visit.is_inside for visit in visits] == [True] * 3
    for visit in visits:
        await visit.end()


async def test_what_must_be_alone_waits_until_all_that_run_have_ended() -> None:
    session = Session()
    first, second = await session.visit("first"), await session.visit("second")
    alone = await session.visit("alone", alone=True)
    await first.end()
    await settled()
    assert not alone.is_inside
    await second.end()
    await eventually(lambda: alone.is_inside)
    await alone.end()


async def test_nothing_enters_beside_what_is_alone() -> None:
    session = Session()
    alone = await session.visit("alone", alone=True)
    other, second = await session.visit("other"), await session.visit("second", alone=True)
    assert (alone.is_inside, other.is_inside, second.is_inside) == (True, False, False)
    await alone.end()
    await eventually(lambda: other.is_inside)
    assert not second.is_inside
    await other.end()
    await eventually(lambda: second.is_inside)
    await second.end()


async def test_those_that_wait_enter_in_the_order_in_which_they_came() -> None:
    """What could run beside those that do waits too, behind one that must be alone; else that one would never run."""
    session = Session()
    visits = [await session.visit("a")]
    for name in ("B", "c", "d", "E", "f"):
        visits.append(await session.visit(name, alone=name.isupper()))  # noqa: PERF401 - one after the other
    groups = []
    while inside := [visit for visit in visits if visit.is_inside]:
        groups.append("".join(visit.task.get_name() for visit in inside))
        for visit in inside:
            await visit.end()
        await settled()
    assert groups == ["a", "B", "cd", "E", "f"]
    assert session.order == ["a", "B", "c", "d", "E", "f"]


async def test_one_that_gives_up_waiting_lets_those_behind_it_in() -> None:
    session = Session()
    first = await session.visit("first")
    alone = await session.visit("alone", alone=True)
    behind = [await session.visit(f"behind {number}") for number in range(2)]
    assert not any(visit.is_inside for visit in behind)
    await alone.cancel()
    await settled()
    assert all(visit.is_inside for visit in (first, *behind))
    for visit in (first, *behind):
        await visit.end()


async def test_one_that_gives_up_in_the_middle_of_the_queue_keeps_nobody_waiting() -> None:
    session = Session()
    first = await session.visit("first")
    waiting = [await session.visit(name, alone=True) for name in ("second", "third", "fourth")]
    await waiting[1].cancel()
    assert not waiting[0].is_inside
    await first.end()
    await eventually(lambda: waiting[0].is_inside)
    await waiting[0].end()
    await eventually(lambda: waiting[2].is_inside)
    await waiting[2].end()
    assert session.order == ["first", "second", "fourth"]


async def test_one_that_is_cancelled_at_the_moment_it_is_let_in_gives_its_place_back() -> None:
    """It has been given the place, and never ran in it."""
    session = Session()
    async with session.isolation.running(SESSION, alone=True):
        unlucky, behind = await session.visit("unlucky", alone=True), await session.visit("behind", alone=True)
    unlucky.task.cancel()  # the place went on to it, and it has not run since
    await eventually(lambda: behind.is_inside)
    assert unlucky.task.cancelled()
    assert session.order == ["behind"]
    await behind.end()


@pytest.mark.parametrize("alone", [False, True])
async def test_a_place_is_given_back_by_what_fails_or_is_cancelled_in_it(alone: bool) -> None:  # noqa: FBT001
    session = Session()
    with pytest.raises(ValueError, match="broken"):
        async with session.isolation.running(SESSION, alone=alone):
            raise ValueError("broken")
    cancelled = await session.visit("cancelled", alone=alone)
    after = await session.visit("after", alone=True)
    assert not after.is_inside
    await cancelled.cancel()
    await eventually(lambda: after.is_inside)
    await after.end()


async def test_sessions_do_not_wait_for_each_other() -> None:
    session = Session()
    here = await session.visit("here", alone=True)
    there = await session.visit("there", alone=True, session=uuid4())
    assert here.is_inside
    assert there.is_inside
    await here.end()
    await there.end()


async def test_a_session_that_nobody_runs_in_or_waits_for_is_forgotten() -> None:
    session = Session()
    first, second = await session.visit("first"), await session.visit("second", alone=True)
    third = await session.visit("third")
    await third.cancel()
    await first.end()
    assert session.isolation._places, "the second one runs"
    await second.end()
    assert not session.isolation._places
    only, behind = await session.visit("only", alone=True), await session.visit("behind")
    await behind.cancel()
    await only.cancel()
    assert not session.isolation._places


async def test_a_cancelled_waiter_leaves_the_place_of_those_that_came_meanwhile() -> None:
    """The last one inside leaves, another enters, and only then the cancelled one comes to its end."""
    session = Session()
    first, waiting = await session.visit("first"), await session.visit("waiting", alone=True)
    first.gate.set()
    inside = Visit(session.isolation, "inside", session.order, alone=False, session=SESSION)
    await waiting.cancel()
    alone = await session.visit("alone", alone=True)
    assert (inside.is_inside, alone.is_inside) == (True, False)
    await inside.end()
    await settled()
    assert alone.is_inside
    await alone.end()
