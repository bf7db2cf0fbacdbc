"""What becomes of many dead letters at once: each is answered by itself."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from libs.calls import Actor
from libs.errors import Reason, ServiceError
from services.command.commands.batch_keys import (
    LEASE_SECONDS,
    check_key,
    leased,
)
from services.command.commands.model import Command, KeyCode, SubmitCode
from services.command.commands.ports import BatchKeyStore, CommandStore
from services.command.commands.service import (
    Key,
    error_for,
    error_of,
)
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
    again,
)
from services.command.dead_letters.ports import (
    DeadLetterStore,
    Letter,
    Match,
    Target,
)
from services.command.dead_letters.service import letter_missing, letter_requeued


@dataclass(frozen=True, slots=True)
class PurgedMany:
    """What a purge of many did, or, in a dry run, would do; `refused` is by the id as it was given."""

    ids: tuple[str, ...]
    refused: dict[str, ServiceError]
    more: bool = False
    matched: int | None = None


class DeadLetterBatches:
    """The operations on many dead letters."""

    def __init__(self, letters: DeadLetterStore, commands: CommandStore, keys: BatchKeyStore) -> None:
        self._letters = letters
        self._commands = commands
        self._keys = keys

    async def requeue(self, actor: Actor, wanted: Selection, changes: Changes, key: Key | None) -> Answered:
        """Submit dead commands again, each as `DeadLetters.requeue` does.

        Under a key, what the call is about is chosen once and stored, and each command goes by a key of its own: when
        the call is made again, be it because its process died half-way, it goes on with the same and repeats nothing.
        """
        if key is None:
            plan = await self._choose(actor.tenant_id, wanted)
            return Answered(plan, await self._requeue_all(actor, plan.ids, changes, ""))
        tenant_id = actor.tenant_id
        taken = await self._keys.take(tenant_id, key.key, key.request, LEASE_SECONDS)
        if taken.code == KeyCode.REPLAY and taken.plan and taken.answer:
            return Answered(read_plan(taken.plan), read_requeued(taken.answer))
        check_key(taken.code)
        async with leased(self._keys, tenant_id, key.key):
            kept = taken.plan
            if kept is None:
                chosen = await self._choose(tenant_id, wanted)
                kept = await self._keys.keep_plan(tenant_id, key.key, write_plan(chosen))
            plan = read_plan(kept)
            done = await self._requeue_all(actor, plan.ids, changes, key.key)
            for one in done:
                if one.error is not None and one.error.reason is Reason.DATABASE_UNAVAILABLE:
                    raise one.error  # no answer to keep: the same call goes on from here
            answer = await self._keys.keep_answer(tenant_id, key.key, write_requeued(done))
        return Answered(plan, read_requeued(answer))

    async def would_requeue(self, tenant_id: str, wanted: Selection, session_id: str | None) -> Answered:
        """Say what `requeue` would do now, without doing it."""
        plan = await self._choose(tenant_id, wanted)
        ids = {given: _id_of(given) for given in plan.ids}
        letters = await self._letters.letters(tenant_id, [found for found in ids.values() if found])
        agents = sorted({letter.agent_id for letter in letters.values()})
        targets = await self._letters.targets(tenant_id, agents, session_id)
        results = []
        for given, command_id in ids.items():
            letter = letters.get(command_id) if command_id else None
            error = _foreseen(letter, targets) if letter else letter_missing(command_id)
            results.append(Requeued(given, error=error))
        return Answered(plan, results, await self._matched(tenant_id, wanted))

    async def purge(self, tenant_id: str, wanted: Selection, key: Key | None) -> PurgedMany:
        """Remove dead letters, all in one transaction with the key."""
        plan = await self._choose(tenant_id, wanted)
        ids = {given: _id_of(given) for given in plan.ids}
        done = await self._letters.purge_many(
            tenant_id, key.key if key else "", key.request if key else b"", [one for one in ids.values() if one],
            requeued=wanted.matching.requeued if wanted.matching else None, more=plan.more,
        )  # fmt: skip
        check_key(done.code)
        if wanted.matching is not None:  # what was purged is the answer: of a replay it is not what matches now
            return PurgedMany(tuple(map(str, done.ids)), {}, done.more)
        gone = set(done.ids)
        refused = {given: letter_missing(one) for given, one in ids.items() if one not in gone}
        return PurgedMany(plan.ids, refused)

    async def would_purge(self, tenant_id: str, wanted: Selection) -> PurgedMany:
        """Say what `purge` would do now, without doing it."""
        plan = await self._choose(tenant_id, wanted)
        ids = {given: _id_of(given) for given in plan.ids}
        letters = await self._letters.letters(tenant_id, [one for one in ids.values() if one])
        refused = {given: letter_missing(one) for given, one in ids.items() if one not in letters}
        return PurgedMany(plan.ids, refused, plan.more, await self._matched(tenant_id, wanted))

    async def _choose(self, tenant_id: str, wanted: Selection) -> Plan:
        """Choose the dead letters that a call is about."""
        if wanted.matching is None:
            return Plan(wanted.ids)
        found = await self._letters.match(tenant_id, wanted.matching, wanted.place, wanted.limit + 1)
        chosen = found[: wanted.limit]
        place = _place_after(chosen[-1], wanted) if len(found) > len(chosen) else None
        return Plan(tuple(str(match.command_id) for match in chosen), place is not None, place)

    async def _matched(self, tenant_id: str, wanted: Selection) -> int | None:
        if wanted.matching is None:
            return None
        return await self._letters.count(tenant_id, wanted.matching, COUNTED_AT_MOST)

    async def _requeue_all(self, actor: Actor, given: Sequence[str], changes: Changes, key: str) -> list[Requeued]:
        """Requeue in the order given, so many at a time as their parameters fit into memory together."""
        results: list[Requeued] = []
        while len(results) < len(given):
            rest = given[len(results) :]
            known = [found for found in map(_id_of, rest) if found]
            commands, read = await self._letters.commands(actor.tenant_id, known)
            taken = rest if read == len(known) else rest[: _length_with(rest, read)]
            results += await asyncio.gather(*(self._requeue(actor, one, commands, changes, key) for one in taken))
        return await self._naming_successors(actor.tenant_id, results)

    async def _requeue(
        self, actor: Actor, given: str, commands: dict[UUID, Command], changes: Changes, key: str
    ) -> Requeued:
        command_id = _id_of(given)
        old = commands.get(command_id) if command_id else None
        if old is None:
            return Requeued(given, error=letter_missing(command_id))
        # No caller's own key has a space in it.
        new = again(old, changes, f"{key} {old.command_id}" if key else "")
        try:
            done = await self._commands.submit(actor, "requeue", new)
        except ServiceError as error:
            return Requeued(given, error=error)
        if done.code in (SubmitCode.OK, SubmitCode.REPLAY):
            return Requeued(given, command=done)
        if done.code == SubmitCode.LETTER_GONE:
            return Requeued(given, error=letter_missing(command_id))
        return Requeued(given, error=error_of(done, new))

    async def _naming_successors(self, tenant_id: str, results: list[Requeued]) -> list[Requeued]:
        """Say of those that were requeued before which commands they became."""
        before = [_id_of(one.given) for one in results if _was_requeued(one)]
        if not before:
            return results
        letters = await self._letters.letters(tenant_id, [one for one in before if one])
        return [
            Requeued(one.given, error=letter_requeued(letter.command_id, letter.requeued_as))
            if _was_requeued(one) and (letter := letters.get(UUID(one.given)))
            else one
            for one in results
        ]


def _foreseen(letter: Letter, targets: dict[str, Target]) -> ServiceError | None:
    """Say why a dead letter could not be requeued now, None when it could."""
    if letter.requeued_as:
        return letter_requeued(letter.command_id, letter.requeued_as)
    target = targets[letter.agent_id]
    if target.code == SubmitCode.OK:
        return None
    # Of several live sessions none is meant.
    session = ("", "") if target.code == SubmitCode.AMBIGUOUS else (target.session_id or "", target.state or "")
    return error_for(target.code, letter.agent_id, *session, letter.command_id)


def _place_after(last: Match, wanted: Selection) -> dict[str, str]:
    """Return the place after a match; a command that is requeued and dies again is not met again further on."""
    until = wanted.place["until"] if wanted.place else last.asked_at.isoformat()
    return {"at": last.dead_at.isoformat(), "id": str(last.command_id), "until": until}


def _was_requeued(one: Requeued) -> bool:
    return one.error is not None and one.error.reason is Reason.DEAD_LETTER_REQUEUED


def _length_with(given: Sequence[str], known: int) -> int:
    """Return how many of the first ids hold so many that can be ids at all."""
    for index, one in enumerate(given):
        known -= _id_of(one) is not None
        if not known:
            return index + 1
    return len(given)


def _id_of(given: str) -> UUID | None:
    try:
        return UUID(given)
    except ValueError:
        return None
