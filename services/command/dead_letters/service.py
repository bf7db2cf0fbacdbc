"""What becomes of one dead letter."""

from uuid import UUID

from libs.calls import Actor
from libs.errors import Reason, ServiceError
from libs.failpoints import failpoint
from services.command.commands.batch_keys import check_key
from services.command.commands.model import SubmitCode
from services.command.commands.ports import CommandStore, Submitted
from services.command.commands.service import Key, error_of
from services.command.dead_letters.model import Changes, DeadLetter, PurgeCode, again
from services.command.dead_letters.ports import DeadLetterStore


class DeadLetters:
    """The operations on single dead letters."""

    def __init__(self, letters: DeadLetterStore, commands: CommandStore) -> None:
        self._letters = letters
        self._commands = commands

    async def get(self, tenant_id: str, command_id: UUID | None) -> DeadLetter:
        """Return a dead letter, or refuse."""
        letter = await self._letters.get(tenant_id, command_id) if command_id else None
        if letter is None:
            raise letter_missing(command_id)
        return letter

    async def requeue(self, actor: Actor, command_id: UUID | None, changes: Changes, key: str) -> Submitted:
        """Submit a dead command again, as a new one in the agent's live session; a second time it is refused.

        The new command and the mark on the dead letter are one transaction: of two callers at once, one wins.
        """
        # The command outlives its dead letter: a replay is answered after a purge too, and the submit refuses the rest.
        old = await self._commands.get(actor.tenant_id, command_id) if command_id else None
        if old is None:
            raise letter_missing(command_id)
        new = again(old, changes, key)
        done = await self._commands.submit(actor, "requeue", new)
        failpoint("dead_letters.after_requeue_before_answer")
        if done.code in (SubmitCode.OK, SubmitCode.REPLAY):
            return done
        if done.code == SubmitCode.LETTER_GONE:
            raise letter_missing(command_id)
        if done.code == SubmitCode.REQUEUED:
            letters = await self._letters.letters(actor.tenant_id, [old.command_id])
            letter = letters.get(old.command_id)
            raise letter_requeued(old.command_id, letter.requeued_as if letter else None)
        raise error_of(done, new)

    async def purge(self, tenant_id: str, command_id: UUID | None, key: Key | None = None) -> None:
        """Remove a dead letter, or refuse."""
        if command_id is None:
            raise letter_missing(command_id)
        code = await self._letters.purge(tenant_id, key.key if key else "", key.request if key else b"", command_id)
        check_key(code)
        if code == PurgeCode.GONE:
            raise letter_missing(command_id)


def letter_missing(command_id: UUID | None) -> ServiceError:
    """Refuse what names no dead letter."""
    metadata = {"command_id": str(command_id)} if command_id else {}
    return ServiceError(Reason.DEAD_LETTER_NOT_FOUND, "there is no such dead letter", metadata=metadata)


def letter_requeued(command_id: UUID, requeued_as: UUID | None) -> ServiceError:
    """Refuse to requeue a second time, naming the command that it was requeued as where that is known."""
    metadata = {"command_id": str(command_id)}
    if requeued_as is not None:
        metadata["requeued_as"] = str(requeued_as)
    return ServiceError(Reason.DEAD_LETTER_REQUEUED, f"dead letter {command_id} was requeued before", metadata=metadata)
