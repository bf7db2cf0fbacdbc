"""Isolation of a session's commands, under every order of starts, ends and cancellations that Hypothesis finds."""

import asyncio
from uuid import UUID, uuid4

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.runner.attempts.isolation import Isolation

ROUNDS = 50  # of the event loop; more than any case needs to settle


class Command:
    """A command: it waits for the session's lock, holds it until `may_end` is set, and releases it."""

    def __init__(self, *, alone: bool) -> None:
        self.alone = alone
        self.is_running = False
        self.may_end = asyncio.Event()

    async def run(self, isolation: Isolation, session_uid: UUID) -> None:
        async with isolation.running(session_uid, alone=self.alone):
            self.is_running = True
            try:
                await self.may_end.wait()
            finally:
                self.is_running = False


class IsolationMachine(RuleBasedStateMachine):
    """A command that must be alone runs alone, waiters run in order, and none waits for a free lock."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.isolation = Isolation()
        self.session_uid = uuid4()
        self.commands: dict[asyncio.Task[None], Command] = {}

    @rule(alone=st.booleans())
    def command_starts(self, *, alone: bool) -> None:
        command = Command(alone=alone)
        self.commands[self.loop.create_task(command.run(self.isolation, self.session_uid))] = command

    @precondition(lambda self: any(command.is_running for command in self.commands.values()))
    @rule(data=st.data())
    def command_ends(self, data: st.DataObject) -> None:
        running = [command for command in self.commands.values() if command.is_running]
        data.draw(st.sampled_from(running), label="command").may_end.set()

    @precondition(lambda self: self.commands)
    @rule(data=st.data())
    def command_is_cancelled(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(list(self.commands)), label="task").cancel()

    @rule(rounds=st.integers(1, 3))
    def loop_runs(self, rounds: int) -> None:
        self._turn(rounds)

    @invariant()
    def exclusive_command_runs_alone(self) -> None:
        if hasattr(self, "commands"):
            running = [command for command in self.commands.values() if command.is_running]
            assert len(running) <= 1 or not any(command.alone for command in running)

    @rule()
    def settled_commands_wait_only_for_others(self) -> None:
        self._turn(ROUNDS)
        here = [command for task, command in self.commands.items() if not task.done()]
        running = [command for command in here if command.is_running]
        waiting = [command for command in here if not command.is_running]
        assert here == running + waiting, "a command overtook another"
        if waiting:
            assert running, "a command waits although none runs"
            assert waiting[0].alone or any(command.alone for command in running), "a command waits for a free lock"

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            for command in self.commands.values():
                command.may_end.set()
            self._turn(ROUNDS)
            assert all(task.done() for task in self.commands), "a command never ran"
            assert not self.isolation._locks, "an unused lock was not deleted"
        finally:
            for task in self.commands:
                task.cancel()
            self._turn(ROUNDS)
            self.loop.close()

    def _turn(self, rounds: int) -> None:
        for _ in range(rounds):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()


TestIsolation = IsolationMachine.TestCase
TestIsolation.settings = settings(max_examples=100, stateful_step_count=40, deadline=None, database=None)
