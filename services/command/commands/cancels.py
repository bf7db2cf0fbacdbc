"""The use cases that cancel commands: by id, by the key of a submit, or by a filter."""

from collections import Counter
from dataclasses import asdict, dataclass
from uuid import UUID

import orjson

from libs.calls import Actor
from libs.errors import Reason, ServiceError
from libs.failpoints import failpoint
from libs.idempotency import IdempotencyKey, KeyStore, idempotent, leased
from services.command.commands.model import Cancel, CancelCode, Cancelled, Command, CommandState, OpenCommandFilter
from services.command.commands.ports import CommandStore
from services.command.commands.service import command_missing


@dataclass(frozen=True, slots=True)
class CancelledMany:
    """The result of a cancel of many: how many were cancelled or asked to stop, and whether more match."""

    cancelled: int
    requested: int
    more: bool


class Cancels:
    """The operations that cancel commands."""

    def __init__(self, store: CommandStore, keys: KeyStore) -> None:
        self._store = store
        self._keys = keys

    async def one(self, actor: Actor, command_id: UUID | None, how: Cancel, key: IdempotencyKey | None) -> Command:
        """Cancel a command, or ask its runner to stop it, and return the command. Raises ServiceError."""
        if command_id is None:
            raise command_missing()
        async with idempotent(self._keys, actor.tenant_id, key, str(command_id)):
            failpoint("cancels.after_key_before_cancel")
            (done,) = await self._store.cancel(actor, [command_id], how)
            failpoint("cancels.after_cancel_before_answer")
            return await self._cancelled(actor, command_id, done)

    async def by_key(self, actor: Actor, submit_key: str, how: Cancel) -> Command | None:
        """Cancel the command that was submitted with a key. Raises ServiceError.

        Returns None if there is no such command yet. A command that is submitted with the key within 24 hours is then
        cancelled at once.
        """
        command_id = await self._store.cancel_key(actor, submit_key, how)
        if command_id is None:
            return None
        (done,) = await self._store.cancel(actor, [command_id], how)
        return await self._cancelled(actor, command_id, done)

    async def many(
        self, actor: Actor, wanted: OpenCommandFilter, limit: int, how: Cancel, key: IdempotencyKey | None
    ) -> CancelledMany:
        """Cancel the matching commands, oldest first. Commands that end meanwhile are not counted.

        With a key, the commands are chosen once and stored, and a repeated call continues with the same ones.
        """
        async with leased(self._keys, actor.tenant_id, key) as use:
            if use.response is not None:
                return CancelledMany(**orjson.loads(use.response))
            plan = use.plan
            if plan is None:
                chosen = await self._choose(actor.tenant_id, wanted, limit)
                plan = await use.keep_plan(orjson.dumps(chosen).decode())
            ids, more = orjson.loads(plan)
            done = await self._all_of(actor, ([UUID(one) for one in ids], more), how)
            response = await use.finish(orjson.dumps(asdict(done)).decode())
        return CancelledMany(**orjson.loads(response))

    async def would_cancel(self, tenant_id: str, wanted: OpenCommandFilter, limit: int) -> CancelledMany:
        """Return how many commands `many` would cancel now, and whether more match."""
        ids, more = await self._choose(tenant_id, wanted, limit)
        return CancelledMany(len(ids), 0, more)

    async def _choose(self, tenant_id: str, wanted: OpenCommandFilter, limit: int) -> tuple[list[UUID], bool]:
        found = await self._store.open_ids(tenant_id, wanted, limit + 1)
        return found[:limit], len(found) > limit

    async def _all_of(self, actor: Actor, chosen: tuple[list[UUID], bool], how: Cancel) -> CancelledMany:
        ids, more = chosen
        codes = Counter(one.code for one in await self._store.cancel(actor, ids, how))
        return CancelledMany(codes[CancelCode.CANCELLED], codes[CancelCode.REQUESTED], more)

    async def _cancelled(self, actor: Actor, command_id: UUID, done: Cancelled) -> Command:
        if done.code == CancelCode.FINISHED and done.state not in (None, CommandState.CANCELLED):
            raise ServiceError(
                Reason.COMMAND_FINISHED, f"command {command_id} has already ended as {done.state}",
                metadata={"command_id": str(command_id), "state": done.state},
            )  # fmt: skip
        command = await self._store.get(actor.tenant_id, command_id)
        if done.code == CancelCode.GONE or command is None:
            raise command_missing()
        return command
