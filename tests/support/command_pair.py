"""Applies each operation to the stores and to the model, and compares the answers."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID, uuid4

from psycopg import sql

from libs.attempts import Report
from libs.errors import ServiceError
from services.command.commands.model import Cancel, CancelMode
from services.command.dead_letters.model import Changes
from services.runner.attempts.model import Claim
from tests.support.command_checks import assert_as_modelled, assert_sound
from tests.support.command_model import (
    MAX_RELEASES,
    WAITING,
    CommandModel,
    ModelCommand,
    ModelRunner,
    ModelSession,
    SubmitRequest,
)
from tests.support.command_stores import PARTITION, CommandStores, finish_of, new_command

_FENCED = "fenced"


class CommandPair:
    """A tenant, empty in both."""

    def __init__(self, stores: CommandStores) -> None:
        self.stores = stores
        self.model = CommandModel()
        self.model.sessions = stores.begin()
        self.claims: dict[UUID, Claim] = {}
        self._before = stores.stored()
        self.enter_runner()
        for session in self.model.sessions:
            self.take(self.model.runners[0], session)

    def check(self) -> None:
        """Compares all stored rows with the model, and with what they were before."""
        stored = self.stores.stored()
        assert_sound(stored, self._before)
        assert_as_modelled(self.model, stored)
        self._before = stored

    # callers

    def submit(self, asked: Sequence[SubmitRequest], *, by_session: bool = False) -> None:
        """Submits commands, several concurrently."""
        sessions = [self.model.session_of(one.agent_id).session_id if by_session else "" for one in asked]
        new = [new_command(one, session) for one, session in zip(asked, sessions, strict=True)]
        answers = self.stores.at_once(*(self.stores.commands.submit(self.stores.actor, "submit", one) for one in new))
        made: set[UUID] = set()
        for one, done in zip(asked, answers, strict=True):
            code = self.model.submits("submit", one.key, one)
            if code == "replay":
                known = self.model.command_of_key("submit", one.key)
                assert known
                assert done.command_id == known.id, "a replay answers with the command that its key stands for"
                unknown = known.forgotten and not by_session
                assert (done.correlation_id, done.agent_id) == (str(known.id), known.request.agent_id)
                assert done.session_id == ("" if unknown else known.session.session_id)
                assert done.code == ("ok" if known.id in made else "replay")
                continue
            assert done.code == code, (one, done)
            if code == "ok":
                made.add(done.command_id)
                self.model.submit(done.command_id, one)

    def requeue(self, dead: ModelCommand, *keys: str) -> None:
        """Requeues a dead letter, with several keys concurrently; any of them may win."""
        codes = [self.model.requeues(dead, key) for key in keys]
        if codes[0] == "ok":
            codes[1:] = ["DEAD_LETTER_REQUEUED"] * (len(keys) - 1)
        dead_letters, by = self.stores.dead_letters, self.stores.actor
        done = self.stores.at_once(*(dead_letters.requeue(by, dead.id, Changes(), key) for key in keys))
        answers = [one.reason if isinstance(one, ServiceError) else one.code for one in done]
        assert sorted(answers) == sorted("IDEMPOTENCY_KEY_REUSED" if code == "reused" else code for code in codes)
        for one in done:
            if not isinstance(one, ServiceError):
                known = self.model.command_of_key("requeue", keys[0]) if one.code == "replay" else None
                assert known is None or one.command_id == known.id
                if known is None:
                    self.model.requeue(one.command_id, dead, keys[0])

    def purge(self, dead: ModelCommand) -> None:
        """Purges a dead letter."""
        (done,) = self.stores.at_once(self.stores.dead_letters.purge(self.stores.tenant, dead.id))
        assert (done.reason if isinstance(done, ServiceError) else "ok") == self.model.purge(dead)

    def cancel(self, command: ModelCommand, mode: CancelMode, grace_ms: int) -> None:
        """Cancels a command."""
        how = Cancel(mode, grace_ms, "no")
        (done,) = self.stores.run(self.stores.commands.cancel(self.stores.actor, [command.id], how))
        assert (done.code, done.state) == self.model.cancel(command, mode.value, grace_ms), command

    def cancel_key(self, key: str, mode: CancelMode, grace_ms: int) -> None:
        """Cancels the command with a submit key, or the one that will be submitted with it."""
        found = self.stores.run(self.stores.commands.cancel_key(self.stores.actor, key, Cancel(mode, grace_ms, "no")))
        command = self.model.cancel_key(key)
        assert found == (command.id if command else None)
        if command:
            self.cancel(command, mode, grace_ms)

    # runners

    def enter_runner(self) -> None:
        """Registers a runner."""
        holder = ModelRunner(uuid4(), f"r{len(self.model.runners)}")
        self.stores.run(self.stores.leases.register(holder.id, holder.name, 4, 3600))
        self.model.runners.append(holder)

    def take(self, holder: ModelRunner, session: ModelSession) -> None:
        """Makes a runner take a session without a runner."""
        assert self.stores.take(holder.id, session) == self.model.take(session, holder)

    def claim(self, commands: Sequence[ModelCommand], holder: ModelRunner) -> list[tuple[ModelCommand, Claim]]:
        """Claims commands in one batch, and returns those that started."""
        codes = [self.model.claims(one, holder) for one in commands]
        work = self.stores.attempts
        claims = self.stores.at_once(
            *(work.claim(self.stores.tenant, PARTITION, holder.id, one.id) for one in commands)
        )
        assert [claim.code for claim in claims] == codes, commands
        began = [pair for pair in zip(commands, claims, strict=True) if pair[1].code == "ok"]
        for command, claim in began:
            assert claim.lease_token not in self.claims, "a token is drawn once"
            self.claims[claim.lease_token] = claim
            self.model.claim(command, holder, claim.lease_token)
            known = (command.attempt, command.charged, command.released)
            assert (claim.attempt, claim.charged, claim.released) == known, command
        return began

    def settle(self, ends: Sequence[tuple[ModelCommand, Claim, str]]) -> None:
        """Finishes attempts in one batch. The first finish with a lease uses it up."""
        finishes = [finish_of(claim, how, command.request.max_attempts) for command, claim, how in ends]
        work, tenant = self.stores.attempts, self.stores.tenant
        answers = self.stores.at_once(*(work.finish(tenant, PARTITION, one) for one in finishes))
        for (command, claim, how), state in zip(ends, answers, strict=True):
            holds = command.token == claim.lease_token
            assert state == (self.model.settle(command, how) if holds else _FENCED), (command, how)

    def report(self, command: ModelCommand, claim: Claim, type_: str) -> None:
        """Reports on a running attempt."""
        assert self._report(claim, type_)
        command.events.append(type_)

    def write_with_wrong_token(self, command: ModelCommand, claim: Claim, how: str, type_: str) -> None:
        """Writes with a token that does not match the command, and expects no change."""
        claim = replace(claim, command_id=command.id)
        before = self.stores.stored()
        finish = finish_of(claim, how, command.request.max_attempts)
        assert self.stores.run(self.stores.attempts.finish(self.stores.tenant, PARTITION, finish)) == _FENCED, (
            command,
            how,
        )
        assert not self._report(claim, type_), command
        assert self.stores.stored() == before, f"a stale token had an effect on {command}"

    def _report(self, claim: Claim, type_: str) -> bool:
        assert claim.lease_token
        report = Report(claim.command_id, claim.lease_token, type_, "{}", "runner:r", "{}")
        return self.stores.run(self.stores.attempts.report(self.stores.tenant, PARTITION, report))

    # time, and the reconciler

    def age(self, table: str, column: str, **key: UUID) -> None:
        """Moves a time of one row into the past."""
        ((name, value),) = key.items()
        names = {
            "table": sql.Identifier("command", table),
            "column": sql.Identifier(column),
            "key": sql.Identifier(name),
        }
        statement = "update {table} set {column} = clock_timestamp() - interval '1 minute' where {key} = %(value)s"
        self.stores.execute(sql.SQL(statement).format(**names), value=value)

    def come_due(self, commands: Sequence[ModelCommand]) -> None:
        """Makes scheduled commands due."""
        for command in commands:
            if not command.due:
                self.age("ready", "available_at", command_id=command.id)
                self.age("commands", "next_attempt_at", command_id=command.id)
                command.due = True

    def expire_lease(self, holder: ModelRunner) -> None:
        """Makes a runner's lease expire."""
        self.age("runners", "lease_until", runner_id=holder.id)
        holder.expired = True

    def renew(self, holder: ModelRunner) -> None:
        """Renews a runner's lease. The answer to a dead runner says that it is dead."""
        assert self.stores.run(self.stores.leases.heartbeat(holder.id, 3600)) is not holder.dead
        holder.expired = holder.expired and holder.dead

    def leave(self, holder: ModelRunner) -> None:
        """Makes a runner leave."""
        self.stores.run(self.stores.leases.leave(holder.id))
        holder.dead = True

    def release_often(self, command: ModelCommand) -> None:
        """Sets a command's releases to the limit, which would otherwise take forty steps."""
        statement = "update command.commands set released = %(released)s where command_id = %(id)s"
        self.stores.execute(statement, id=command.id, released=MAX_RELEASES)
        command.released = MAX_RELEASES

    def lose_dispatch(self, command: ModelCommand) -> None:
        """Loses the dispatches of a command and of an unknown one."""
        delivery, error = self.stores.delivery, '{"code": "DISPATCH_LOST"}'
        lost = delivery.dispatch_lost(self.stores.tenant, [command.id, uuid4()], error, "test")
        assert self.stores.run(lost) == 1
        self.model.lose_dispatch(command)

    def reconcile(self) -> None:
        """Runs one pass of the reconciler."""
        self.stores.reconcile()
        self.model.reconcile()

    def end_everything(self) -> None:
        """Checks that nothing waits forever: with a live runner, all open commands can be finished."""
        for holder in self.model.runners:
            self.expire_lease(holder)
        self.reconcile()
        self.enter_runner()
        for session in self.model.sessions:
            self.take(self.model.runners[-1], session)
        while waiting := self.model.in_states(*WAITING):
            self.come_due(waiting)
            began = self.claim(waiting, self.model.runners[-1])
            assert began, f"none of {waiting} can begin"
            self.settle([(command, claim, "succeeds") for command, claim in began])
        self.check()
        assert all(one.has_ended for one in self.model.commands)
