"""Who may run beside whom in a session, under every order of comings, goings and cancellations."""

import asyncio
from uuid import UUID, uuid4

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.runner.attempts.isolation import Isolation

ROUNDS = 50  # of the event loop; more than anything here needs to come to rest


class Visit:
    """A command that wants to run: it waits for its place, holds it until it is let go, and leaves."""

    def __init__(self, *, alone: bool) -> None:
        self.alone = alone
        self.is_inside = False
        self.abandon = asyncio.Event()

    async def pay(self, isolation: Isolation, session_uid: UUID) -> None:
        async with isolation.running(session_uid, alone=self.alone):
            self.is_inside = True
            try:
                await self.abandon.wait()
            finally:
                self.is_inside = False


class IsolationMachine(RuleBasedStateMachine):
    """Whoever is alone is alone, those that wait enter in their order, and nobody waits for a place that is free."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.isolation = Isolation()
        self.session_uid = uuid4()
        self.visits: dict[asyncio.Task[None], Visit] = {}

    @rule(alone=st.booleans())
    def one_comes(self, *, alone: bool) -> None:
        visit = Visit(alone=alone)
        self.visits[self.loop.create_task(visit.pay(self.isolation, self.session_uid))] = visit

    @precondition(lambda self: any(visit.is_inside for visit in self.visits.values()))
    @rule(data=st.data())
    def one_leaves(self, data: st.DataObject) -> None:
        inside = [visit for visit in self.visits.values() if visit.is_inside]
        data.draw(st.sampled_from(inside), label="visit").abandon.set()

    @precondition(lambda self: self.visits)
    @rule(data=st.data())
    def one_is_cancelled(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(list(self.visits)), label="task").cancel()

    @rule(rounds=st.integers(1, 3))
    def the_loop_turns(self, rounds: int) -> None:
        self._turn(rounds)

    @invariant()
    def whoever_is_alone_is_alone(self) -> None:
        if hasattr(self, "visits"):
            inside = [visit for visit in self.visits.values() if visit.is_inside]
            assert len(inside) <= 1 or not any(visit.alone for visit in inside)

    @rule()
    def at_rest_nobody_waits_for_nothing(self) -> None:
        self._turn(ROUNDS)
        here = [visit for task, visit in self.visits.items() if not task.done()]
        inside = [visit for visit in here if visit.is_inside]
        waiting = [visit for visit in here if not visit.is_inside]
        assert here == inside + waiting, "somebody overtook another"
        if waiting:
            assert inside, "nobody is inside, and somebody waits"
            assert waiting[0].alone or any(visit.alone for visit in inside), "somebody waits for a place that is free"

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            for visit in self.visits.values():
                visit.abandon.set()
            self._turn(ROUNDS)
            assert all(task.done() for task in self.visits), "somebody never had a turn"
            assert not self.isolation._places, "the session is remembered"
        finally:
            for task in self.visits:
                task.cancel()
            self._turn(ROUNDS)
            self.loop.close()

    def _turn(self, rounds: int) -> None:
        for _ in range(rounds):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()


TestIsolation = IsolationMachine.TestCase
TestIsolation.settings = settings(max_examples=100, stateful_step_count=40, deadline=None, database=None)
