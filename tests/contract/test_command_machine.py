"""Random operations on commands leave the stores in the state that a small model predicts."""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar, TypeVar
from uuid import uuid4

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.command.commands.model import CancelMode
from services.runner.attempts.model import Claim
from tests.support.command_model import ENDED, WAITING, ModelCommand, ModelRunner, SubmitRequest
from tests.support.command_pair import CommandPair
from tests.support.command_stores import AGENTS, CommandStores

_Rule = TypeVar("_Rule", bound=Callable[..., object])
KEYS = ("k0", "k1")
STATES = (*WAITING, "running", *ENDED)
DRAWN = st.data()
HOWS = st.sampled_from(["succeeds", "fails", "fails for good", "is released", "has not begun"])
MODES = st.sampled_from([*CancelMode])
GRACES = st.sampled_from([60_000, 0])
REPORTS = st.sampled_from(["command.progress", "command.cancel_acknowledged"])
ASKED = st.builds(
    SubmitRequest,
    agent_id=st.sampled_from(AGENTS),
    type=st.sampled_from(["echo", "other"]),
    max_attempts=st.integers(1, 3),
    delayed=st.sampled_from([False, False, True]),
    ordering_key=st.sampled_from(["", "o"]),
    key=st.sampled_from(["", "", *KEYS]),
)


def if_any_in(*states: str) -> Callable[[_Rule], _Rule]:
    """Lets a rule run while a command is in one of these states, or in any."""
    return precondition(lambda machine: bool(machine.model.in_states(*(states or STATES))))


if_any_can_run = precondition(lambda machine: bool(machine.model.in_states("running") or machine.model.startable()))
"""Lets a rule run while a command runs or can be started."""


class CommandMachine(RuleBasedStateMachine):
    """Each rule does one thing to the stores and to the model. A rule that needs a running command starts one if there
    is none, because most mistakes are in later states, and Hypothesis leaves out some of the rules each time."""

    stores: ClassVar[CommandStores]
    pair: CommandPair

    @initialize(asked=st.lists(ASKED, min_size=1, max_size=4))
    def begin(self, asked: list[SubmitRequest]) -> None:
        self.pair = CommandPair(self.stores)
        self.model = self.pair.model
        self.pair.submit(asked)

    @invariant()
    def stores_agree_with_the_model(self) -> None:
        self.pair.check()

    def teardown(self) -> None:
        if hasattr(self, "pair"):
            try:
                if sys.exc_info()[0] is None:
                    self.pair.end_everything()
            finally:
                self.stores.end()

    def one(self, drawn: st.DataObject, *states: str) -> ModelCommand:
        """Draws a state first, because many more commands are in some states than in others."""
        found = self.model.in_states(*(states or STATES))
        state = drawn.draw(st.sampled_from(sorted({one.state for one in found})))
        return drawn.draw(st.sampled_from(self.model.in_states(state)))

    def running(self, drawn: st.DataObject) -> tuple[ModelCommand, Claim]:
        """A running command, started now if there is none."""
        found = self.model.in_states("running") or self.model.startable()
        return self.started(drawn.draw(st.sampled_from(found)))

    def started(self, command: ModelCommand) -> tuple[ModelCommand, Claim]:
        if command.waits and command.session.owner:
            self.pair.come_due([command])
            self.pair.claim([command], command.session.owner)
        assert command.token
        return command, self.pair.claims[command.token]

    # callers

    @rule(asked=st.lists(ASKED, min_size=1, max_size=3), by_session=st.booleans())
    def submit(self, asked: list[SubmitRequest], *, by_session: bool) -> None:
        self.pair.submit(asked, by_session=by_session and len(asked) == 1)

    @precondition(lambda self: any(self.model.command_of_key("submit", key) for key in KEYS))
    @rule(drawn=DRAWN)
    def submit_again(self, drawn: st.DataObject) -> None:
        known = [one.request for key in KEYS if (one := self.model.command_of_key("submit", key))]
        self.pair.submit([drawn.draw(st.sampled_from(known))])

    @if_any_in("failed")
    @rule(drawn=DRAWN, keys=st.sampled_from([["", ""], [""], ["k0"]]), again=st.booleans())
    def requeue(self, drawn: st.DataObject, keys: list[str], *, again: bool) -> None:
        failed = self.model.in_states("failed")
        fresh = [one for one in failed if one.dead_reason and not one.requeued_as]
        dead = drawn.draw(st.sampled_from(fresh or failed))
        self.pair.requeue(dead, *keys)
        if again:
            self.pair.requeue(dead, "")

    @if_any_in("failed")
    @rule(drawn=DRAWN)
    def purge(self, drawn: st.DataObject) -> None:
        self.pair.purge(self.one(drawn, "failed"))

    @if_any_in()
    @rule(drawn=DRAWN, mode=MODES, grace=GRACES)
    def cancel(self, drawn: st.DataObject, mode: CancelMode, grace: int) -> None:
        self.pair.cancel(self.one(drawn), mode, grace)

    @if_any_can_run
    @rule(drawn=DRAWN, mode=MODES, grace=GRACES)
    def cancel_running(self, drawn: st.DataObject, mode: CancelMode, grace: int) -> None:
        self.pair.cancel(self.running(drawn)[0], mode, grace)

    @rule(key=st.sampled_from(KEYS), mode=MODES, grace=GRACES)
    def cancel_by_key(self, key: str, mode: CancelMode, grace: int) -> None:
        self.pair.cancel_key(key, mode, grace)

    # runners

    @precondition(lambda self: any(one.owner is None for one in self.model.sessions))
    @rule(drawn=DRAWN)
    def take_session(self, drawn: st.DataObject) -> None:
        if not any(one.lives for one in self.model.runners):
            self.pair.enter_runner()
        free = [one for one in self.model.sessions if one.owner is None]
        self.pair.take(drawn.draw(st.sampled_from(self.model.runners[::-1])), drawn.draw(st.sampled_from(free)))

    @if_any_in()
    @rule(drawn=DRAWN)
    def claim_anything_for_anyone(self, drawn: st.DataObject) -> None:
        holders = [*self.model.runners, ModelRunner(uuid4(), "a stranger", dead=True)]
        self.pair.claim([self.one(drawn)], drawn.draw(st.sampled_from(holders)))

    @if_any_in(*WAITING)
    @rule(drawn=DRAWN)
    def claim_all_in_one_batch(self, drawn: st.DataObject) -> None:
        self.pair.claim(self.model.in_states(*WAITING), drawn.draw(st.sampled_from(self.model.runners[::-1])))

    @if_any_can_run
    @rule(drawn=DRAWN, how=HOWS)
    def settle(self, drawn: st.DataObject, how: str) -> None:
        self.pair.settle([(*self.running(drawn), how)])

    @if_any_can_run
    @rule(drawn=DRAWN, hows=st.tuples(HOWS, HOWS))
    def settle_twice_concurrently(self, drawn: st.DataObject, hows: tuple[str, str]) -> None:
        command, claim = self.running(drawn)
        self.pair.settle([(command, claim, how) for how in hows])

    @if_any_can_run
    @rule(drawn=DRAWN, type_=REPORTS)
    def report(self, drawn: st.DataObject, type_: str) -> None:
        self.pair.report(*self.running(drawn), type_)

    @precondition(lambda self: any(one.fences for one in self.model.kept()))
    @rule(drawn=DRAWN, how=HOWS, type_=REPORTS, again=st.sampled_from([True, True, False]))
    def write_with_a_stale_token(self, drawn: st.DataObject, how: str, type_: str, *, again: bool) -> None:
        fenced = [one for one in self.model.kept() if one.fences]
        held = [one for one in fenced if one in self.model.startable() or one.state == "running"]
        command = drawn.draw(st.sampled_from(held if again and held else fenced))
        if again and held:  # then only the token is wrong
            self.started(command)
        self.pair.write_with_wrong_token(
            command, self.pair.claims[drawn.draw(st.sampled_from(command.fences))], how, type_
        )

    @if_any_can_run
    @rule(drawn=DRAWN, how=HOWS, type_=REPORTS)
    def write_with_the_token_of_another_command(self, drawn: st.DataObject, how: str, type_: str) -> None:
        other, claim = self.running(drawn)
        command = drawn.draw(st.sampled_from(self.model.startable() or self.model.kept()))
        if command is not other:
            if command in self.model.startable():
                self.started(command)
            self.pair.write_with_wrong_token(command, claim, how, type_)

    # time, and the reconciler

    @precondition(lambda self: any(one.waits and not one.due for one in self.model.kept()))
    @rule(drawn=DRAWN)
    def come_due(self, drawn: st.DataObject) -> None:
        waiting = [one for one in self.model.kept() if one.waits and not one.due]
        self.pair.come_due([drawn.draw(st.sampled_from(waiting))])

    @rule(drawn=DRAWN, what=st.sampled_from(["expires", "is renewed", "is given up", "is found expired"]))
    def change_a_lease(self, drawn: st.DataObject, what: str) -> None:
        holder = drawn.draw(st.sampled_from(self.model.runners[::-1]))
        if what == "is renewed":
            self.pair.renew(holder)
        elif what == "is given up":
            self.pair.leave(holder)
        else:
            self.pair.expire_lease(holder)
            if what == "is found expired":
                self.pair.reconcile()

    @if_any_can_run
    @rule(drawn=DRAWN, times=st.integers(1, 2), how=st.one_of(HOWS, st.sampled_from(["is cancelled", "nothing"])))
    def wait_for_a_cancel(self, drawn: st.DataObject, times: int, how: str) -> None:
        command, claim = self.running(drawn)
        for _ in range(times):
            self.pair.cancel(command, CancelMode.GRACEFUL, 60_000)
        if how == "nothing":
            self.pair.age("commands", "cancel_deadline", command_id=command.id)
            command.overdue = True
            self.pair.reconcile()
        else:
            self.pair.settle([(command, claim, how)])

    @if_any_in(*ENDED)
    @rule(drawn=DRAWN)
    def expire(self, drawn: st.DataObject) -> None:
        command = self.one(drawn, *ENDED)
        self.pair.age("commands", "expires_at", command_id=command.id)
        command.expired = True
        self.pair.reconcile()

    @rule()
    def reconcile(self) -> None:
        self.pair.reconcile()

    @precondition(lambda self: bool(self.model.dispatched()))
    @rule(drawn=DRAWN)
    def lose_a_dispatch(self, drawn: st.DataObject) -> None:
        self.pair.lose_dispatch(drawn.draw(st.sampled_from(self.model.dispatched())))

    @if_any_can_run
    @rule(drawn=DRAWN)
    def release_too_often(self, drawn: st.DataObject) -> None:
        command, claim = self.running(drawn)
        self.pair.release_often(command)
        self.pair.settle([(command, replace(claim, released=command.released), "is released")])


def test_stores_agree_with_the_model_of_commands(database_url: str, app_database_url: str) -> None:
    with CommandStores(database_url, app_database_url) as opened:

        class Machine(CommandMachine):
            stores = opened

        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=20, stateful_step_count=40, deadline=None, database=None, print_blob=True,
                phases=[Phase.generate, Phase.shrink], report_multiple_bugs=False,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )  # fmt: skip
