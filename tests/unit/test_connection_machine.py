"""The connection manager under every order of replies, losses, closes and cancellations that Hypothesis finds."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from libs.errors import ServiceError
from services.runner.connections import service as connections_module
from services.runner.connections.service import Connections
from tests.support.delayed_replies import SESSIONS, DelayedAgent, DelayedExecutor, DelayedStore, PendingCalls

ROUNDS = 200  # of the event loop; far more than any case needs to settle
SESSION = st.integers(0, SESSIONS - 1)


class ConnectionMachine(RuleBasedStateMachine):
    """One incarnation of a runner. At any time, every agent belongs to a session, and no session has two agents."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.questions = PendingCalls()
        self.opener, self.database = DelayedExecutor(self.questions), DelayedStore(self.questions)
        self.uids = list(self.database.rows)
        self.runner_id = uuid4()
        self.connections = Connections(self.runner_id, self.database, self.opener, 10)  # type: ignore[arg-type]
        self.taking: asyncio.Task[None] | None = None
        self.side: list[asyncio.Task[None]] = []

    @rule(session=SESSION)
    def session_needs_a_connection(self, session: int) -> None:
        row = self.database.rows[self.uids[session]]
        if row.state == "idle":
            row.state = "wanted"

    @rule()
    def sessions_are_taken(self) -> None:
        if self.taking is None or self.taking.done():
            self.taking = self._start(self.connections.take_wanted)

    @precondition(lambda self: self.questions.open)
    @rule(data=st.data())
    def one_question_is_answered(self, data: st.DataObject) -> None:
        question = data.draw(st.sampled_from(self.questions.open), label="question")
        question.answer(data.draw(st.sampled_from(sorted(question.answers)), label="answer"))

    @precondition(lambda self: self.questions.open)
    @rule()
    def all_questions_succeed(self) -> None:
        for question in self.questions.open:
            question.answer(next(iter(question.answers)))

    @rule(rounds=st.integers(1, 4))
    def loop_runs(self, rounds: int) -> None:
        for _ in range(rounds):
            self._turn()

    @precondition(lambda self: self._served())
    @rule(data=st.data())
    def agent_is_lost(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self._served()), label="agent").lost.set()

    @rule(session=SESSION)
    def session_ends(self, session: int) -> None:
        uid = self.uids[session]
        row = self.database.rows[uid]
        if row.owner is None:
            row.state = "idle"
        else:
            row.state = "closing"
            self.side.append(self._start(self.connections.close, row.wanted.tenant_id, uid))

    @rule(session=SESSION)
    def agent_is_killed(self, session: int) -> None:
        self.side.append(self._start(self.connections.kill, self.uids[session]))

    @precondition(lambda self: self.side)
    @rule(data=st.data())
    def waiting_task_is_cancelled(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.side), label="task").cancel()

    @rule(session=SESSION)
    def session_is_taken_away_unnoticed(self, session: int) -> None:
        row = self.database.rows[self.uids[session]]
        if row.owner is not None and row.state != "closing":
            row.owner, row.state = None, "wanted"

    @rule()
    def heartbeat_lists_owned_sessions(self) -> None:
        owned = {
            uid: row.wanted.tenant_id
            for uid, row in self.database.rows.items()
            if row.owner == self.runner_id and row.state in {"connecting", "connected"}
        }
        self.side.append(self._start(self.connections.release_unheld, owned))

    @invariant()
    def session_has_at_most_one_agent(self) -> None:
        if not hasattr(self, "opener"):
            return
        for uid in self.uids:
            live = [agent for agent in self.opener.agents if agent.session_uid == uid and not agent.lost.is_set()]
            assert len(live) <= 1, f"one session has {len(live)} agents"

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self._settle()
            for agent in self.opener.agents:
                assert agent.is_closing or self._is_served(agent), "an agent runs that belongs to no session"
            for uid, row in self.database.rows.items():
                if row.owner == self.runner_id and row.state == "connected" and self.connections.get(uid) is None:
                    assert uid not in self.connections._held, "a held session has no agent"
            ending = self._start(partial(self.connections.close_all, release=False))
            self._settle()
            assert ending.done()
            assert self.connections.held == 0
            assert all(agent.is_closing for agent in self.opener.agents), "an agent outlived its runner"
            assert not [task for task in asyncio.all_tasks(self.loop) if task is not self.taking]
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self._turn()
            self._turn()
            self.loop.close()

    def _served(self) -> list[DelayedAgent]:
        return [agent for agent in self.opener.agents if self._is_served(agent)]

    def _is_served(self, agent: DelayedAgent) -> bool:
        connection: object = self.connections.get(agent.session_uid)
        return connection is agent

    def _settle(self) -> None:
        for _ in range(ROUNDS):
            for question in self.questions.open:
                question.answer(next(iter(question.answers)))
            self._turn()

    def _turn(self) -> None:
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def _start(self, work: Callable[..., Awaitable[Any]], *arguments: Any) -> "asyncio.Task[None]":
        async def ignore_service_errors() -> None:
            with contextlib.suppress(ServiceError):
                await work(*arguments)

        return self.loop.create_task(ignore_service_errors())


@pytest.fixture(autouse=True)
def no_release_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections_module, "_RELEASE_UNHELD_AFTER", 0.0)


TestConnections = ConnectionMachine.TestCase
TestConnections.settings = settings(max_examples=150, stateful_step_count=50, deadline=None, database=None)
