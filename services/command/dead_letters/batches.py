"""The use cases of many dead letters. Each dead letter has its own result."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from uuid import UUID

from libs.calls import Actor
from libs.errors import Reason, ServiceError
from libs.idempotency import IdempotencyKey, KeyStore, check_key, leased
from services.command.commands.model import Command, SubmitCode
from services.command.commands.service import error_for, error_of
from services.command.dead_letters.batch_answers import (
    Answered,
    Requeued,
    read_plan,
    read_requeued,
    write_plan,
    write_requeued,
)
from services.command.dead_letters.model import (
    COUNTED_AT_MOST,
    Changes,
    Plan,
    Selection,
    requeued_command,
)
from services.command.dead_letters.ports import (
    Commands,
    DeadLetterStore,
    Match,
    RequeueDestination,
    RequeueTarget,
)
from services.command.dead_letters.service import dead_letter_missing, dead_letter_requeued


@dataclass(frozen=True, slots=True)
class PurgedMany:
    """The result of a purge of many, or of a dry run of one. `errors` is by the given id."""

    ids: tuple[str, ...]
    errors: dict[str, ServiceError]
    more: bool = False
    matched: int | None = None


class DeadLetterBatches:
    """The operations on many dead letters."""

    def __init__(self, store: DeadLetterStore, commands: Commands, keys: KeyStore) -> None:
        self._store = store
        self._commands = commands
        self._keys = keys

    async def requeue(self, actor: Actor, wanted: Selection, changes: Changes, key: IdempotencyKey | None) -> Answered:
        """Submit dead commands again, each as `DeadLetters.requeue` does.

        With a key, the dead letters are chosen once and stored, and each command gets its own key. When the call is
        repeated, for example after its process died, it continues with the same ones and requeues nothing twice.
        """
        async with leased(self._keys, actor.tenant_id, key) as use:
            plan = read_plan(use.plan) if use.plan else await self._choose(actor.tenant_id, wanted)
            if use.response is not None:
                return Answered(plan, read_requeued(use.response))
            plan = read_plan(await use.keep_plan(write_plan(plan)))
            done = await self._requeue_all(actor, plan.ids, changes, key.key if key else "")
            if key is None:
                return Answered(plan, done)
            for one in done:
                if one.error is not None and one.error.reason is Reason.DATABASE_UNAVAILABLE:
                    raise one.error  # nothing to store: when the call is repeated, it continues here
            response = await use.finish(write_requeued(done))
        return Answered(plan, read_requeued(response))

    async def would_requeue(self, tenant_id: str, wanted: Selection, session_id: str | None) -> Answered:
        """Return what `requeue` would do now."""
        plan = await self._choose(tenant_id, wanted)
        ids = {given: _id_of(given) for given in plan.ids}
        dead_letters = await self._store.requeue_targets(tenant_id, [found for found in ids.values() if found])
        agents = sorted({one.agent_id for one in dead_letters.values()})
        targets = await self._store.destinations(tenant_id, agents, session_id)
        results = []
        for given, command_id in ids.items():
            dead_letter = dead_letters.get(command_id) if command_id else None
            error = _foreseen(dead_letter, targets) if dead_letter else dead_letter_missing(command_id)
            results.append(Requeued(given, error=error))
        return Answered(plan, results, await self._matched(tenant_id, wanted))

    async def purge(self, tenant_id: str, wanted: Selection, key: IdempotencyKey | None) -> PurgedMany:
        """Remove dead letters in one transaction with the key."""
        plan = await self._choose(tenant_id, wanted)
        ids = {given: _id_of(given) for given in plan.ids}
        done = await self._store.purge_many(
            tenant_id, key, [one for one in ids.values() if one],
            requeued=wanted.matching.requeued if wanted.matching else None, more=plan.more,
        )  # fmt: skip
        check_key(done.code)
        if wanted.matching is not None:  # a replay returns what was purged, not what matches now
            return PurgedMany(tuple(map(str, done.ids)), {}, done.more)
        gone = set(done.ids)
        errors = {given: dead_letter_missing(one) for given, one in ids.items() if one not in gone}
        return PurgedMany(plan.ids, errors)

    async def would_purge(self, tenant_id: str, wanted: Selection) -> PurgedMany:
        """Return what `purge` would do now."""
        plan = await self._choose(tenant_id, wanted)
        ids = {given: _id_of(given) for given in plan.ids}
        dead_letters = await self._store.requeue_targets(tenant_id, [one for one in ids.values() if one])
        errors = {given: dead_letter_missing(one) for given, one in ids.items() if one not in dead_letters}
        return PurgedMany(plan.ids, errors, plan.more, await self._matched(tenant_id, wanted))

    async def _choose(self, tenant_id: str, wanted: Selection) -> Plan:
        """Choose the dead letters of a call."""
        if wanted.matching is None:
            return Plan(wanted.ids)
        found = await self._store.match(tenant_id, wanted.matching, wanted.keyset, wanted.limit + 1)
        chosen = found[: wanted.limit]
        keyset = _keyset_after(chosen[-1], wanted) if len(found) > len(chosen) else None
        return Plan(tuple(str(match.command_id) for match in chosen), keyset is not None, keyset)

    async def _matched(self, tenant_id: str, wanted: Selection) -> int | None:
        if wanted.matching is None:
            return None
        return await self._store.count(tenant_id, wanted.matching, COUNTED_AT_MOST)

    async def _requeue_all(self, actor: Actor, given: Sequence[str], changes: Changes, key: str) -> list[Requeued]:
        """Requeue in the given order, as many at a time as have parameters that fit into memory together."""
        results: list[Requeued] = []
        while len(results) < len(given):
            rest = given[len(results) :]
            known = [found for found in map(_id_of, rest) if found]
            commands, read = await self._store.commands(actor.tenant_id, known)
            taken = rest if read == len(known) else rest[: _length_with(rest, read)]
            results += await asyncio.gather(*(self._requeue(actor, one, commands, changes, key) for one in taken))
        return await self._naming_successors(actor.tenant_id, results)

    async def _requeue(
        self, actor: Actor, given: str, commands: dict[UUID, Command], changes: Changes, key: str
    ) -> Requeued:
        command_id = _id_of(given)
        old = commands.get(command_id) if command_id else None
        if old is None:
            return Requeued(given, error=dead_letter_missing(command_id))
        # A caller's key contains no space, so it never equals this one.
        new = requeued_command(old, changes, f"{key} {old.command_id}" if key else "")
        try:
            done = await self._commands.submit(actor, "requeue", new)
        except ServiceError as error:
            return Requeued(given, error=error)
        if done.code in (SubmitCode.OK, SubmitCode.REPLAY):
            return Requeued(given, command=done)
        if done.code == SubmitCode.DEAD_LETTER_NOT_FOUND:
            return Requeued(given, error=dead_letter_missing(command_id))
        return Requeued(given, error=error_of(done, new))

    async def _naming_successors(self, tenant_id: str, results: list[Requeued]) -> list[Requeued]:
        """Add to the errors of dead letters that were already requeued which commands they became."""
        before = [_id_of(one.given) for one in results if _was_requeued(one)]
        if not before:
            return results
        dead_letters = await self._store.requeue_targets(tenant_id, [one for one in before if one])
        return [
            Requeued(one.given, error=dead_letter_requeued(dead_letter.command_id, dead_letter.requeued_as))
            if _was_requeued(one) and (dead_letter := dead_letters.get(UUID(one.given)))
            else one
            for one in results
        ]


def _foreseen(dead_letter: RequeueTarget, targets: dict[str, RequeueDestination]) -> ServiceError | None:
    """Return why a dead letter cannot be requeued now, None when it can."""
    if dead_letter.requeued_as:
        return dead_letter_requeued(dead_letter.command_id, dead_letter.requeued_as)
    target = targets[dead_letter.agent_id]
    if target.code == SubmitCode.OK:
        return None
    # With several live sessions, none of them is the target.
    session = ("", "") if target.code == SubmitCode.AMBIGUOUS else (target.session_id or "", target.state or "")
    return error_for(target.code, dead_letter.agent_id, *session, dead_letter.command_id)


def _keyset_after(last: Match, wanted: Selection) -> dict[str, str]:
    """Return the keyset after a match. `until` excludes commands that die again after the first page was read."""
    until = wanted.keyset["until"] if wanted.keyset else last.queried_at.isoformat()
    return {"at": last.dead_at.isoformat(), "id": str(last.command_id), "until": until}


def _was_requeued(one: Requeued) -> bool:
    return one.error is not None and one.error.reason is Reason.DEAD_LETTER_REQUEUED


def _length_with(given: Sequence[str], known: int) -> int:
    """Return the length of the shortest prefix of `given` with `known` well-formed ids, of which it has enough."""
    counts = accumulate(_id_of(one) is not None for one in given)
    return next(length for length, count in enumerate(counts, start=1) if count == known)


def _id_of(given: str) -> UUID | None:
    try:
        return UUID(given)
    except ValueError:
        return None
