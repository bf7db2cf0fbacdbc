"""The use cases of single dead letters."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from libs.calls import Actor
from libs.errors import Reason, ServiceError
from libs.failpoints import failpoint
from libs.idempotency import IdempotencyKey, check_key
from services.command.commands.model import SubmitCode, Submitted
from services.command.commands.service import error_of
from services.command.dead_letters.model import (
    Attempt,
    Changes,
    DeadLetter,
    DeadLetterFilter,
    PurgeCode,
    requeued_command,
)
from services.command.dead_letters.ports import Commands, DeadLetterStore


class DeadLetters:
    """The operations on single dead letters."""

    def __init__(self, store: DeadLetterStore, commands: Commands) -> None:
        self._store = store
        self._commands = commands

    async def get(self, tenant_id: str, command_id: UUID | None) -> DeadLetter:
        """Return a dead letter; raises ServiceError DEAD_LETTER_NOT_FOUND."""
        dead_letter = await self._store.get(tenant_id, command_id) if command_id else None
        if dead_letter is None:
            raise dead_letter_missing(command_id)
        return dead_letter

    async def attempts(self, tenant_id: str, command_id: UUID) -> list[Attempt]:
        """Return the ended attempts of a dead command, oldest first."""
        return await self._store.attempts(tenant_id, command_id)

    async def find(
        self, tenant_id: str, wanted: DeadLetterFilter, after: Mapping[str, Any] | None, limit: int
    ) -> list[DeadLetter]:
        """Return up to `limit` dead letters, newest first, after the keyset `{"at", "id"}`."""
        return await self._store.find(tenant_id, wanted, after, limit)

    async def requeue(self, actor: Actor, command_id: UUID | None, changes: Changes, key: str) -> Submitted:
        """Submit a dead command again, as a new one in the agent's live session. Raises ServiceError.

        One transaction stores the new command and marks the dead letter. So of concurrent callers, one succeeds and the
        others get DEAD_LETTER_REQUEUED.
        """
        # The command outlives its dead letter. So a replay is answered after a purge too; the submit rejects the rest.
        old = await self._commands.get(actor.tenant_id, command_id) if command_id else None
        if old is None:
            raise dead_letter_missing(command_id)
        new = requeued_command(old, changes, key)
        done = await self._commands.submit(actor, "requeue", new)
        failpoint("dead_letters.after_requeue_before_answer")
        if done.code in (SubmitCode.OK, SubmitCode.REPLAY):
            return done
        if done.code == SubmitCode.DEAD_LETTER_NOT_FOUND:
            raise dead_letter_missing(command_id)
        if done.code == SubmitCode.REQUEUED:
            dead_letters = await self._store.requeue_targets(actor.tenant_id, [old.command_id])
            dead_letter = dead_letters.get(old.command_id)
            raise dead_letter_requeued(old.command_id, dead_letter.requeued_as if dead_letter else None)
        raise error_of(done, new)

    async def purge(self, tenant_id: str, command_id: UUID | None, key: IdempotencyKey | None = None) -> None:
        """Remove a dead letter; raises ServiceError DEAD_LETTER_NOT_FOUND."""
        if command_id is None:
            raise dead_letter_missing(command_id)
        code = await self._store.purge(tenant_id, key, command_id)
        check_key(code)
        if code == PurgeCode.GONE:
            raise dead_letter_missing(command_id)


def dead_letter_missing(command_id: UUID | None) -> ServiceError:
    """Return the error for an id that names no dead letter."""
    metadata = {"command_id": str(command_id)} if command_id else {}
    return ServiceError(Reason.DEAD_LETTER_NOT_FOUND, "there is no such dead letter", metadata=metadata)


def dead_letter_requeued(command_id: UUID, requeued_as: UUID | None) -> ServiceError:
    """Return the error for a second requeue, with the command that it was requeued as if that is known."""
    metadata = {"command_id": str(command_id)}
    if requeued_as is not None:
        metadata["requeued_as"] = str(requeued_as)
    return ServiceError(
        Reason.DEAD_LETTER_REQUEUED, f"dead letter {command_id} was already requeued", metadata=metadata
    )
