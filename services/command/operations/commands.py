"""Submit, cancel, and what becomes of dead letters."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from libs.errors import Reason, Refusal
from services.command.domain.command import Actor, Command, DeadLetter, NewCommand
from services.command.ports.stores import CommandStore, DeadLetterStore, KeyStore, Submitted

CANCEL_GRACE_MS = 5000
"""Milliseconds that a running command has to heed its cancel."""


@dataclass(frozen=True, slots=True)
class Key:
    """A caller's idempotency key, and the hash of the request that it stands for."""

    key: str
    request: bytes


class Keyed:
    """Runs operations that are the same when they are done twice, under a caller's key."""

    def __init__(self, keys: KeyStore) -> None:
        self._keys = keys

    @asynccontextmanager
    async def under(self, tenant_id: str, method: str, key: Key | None, command_id: UUID) -> AsyncIterator[bool]:
        """Hold the key while the block runs, and drop it when the block refuses. Yields whether it is a replay."""
        if key is None:
            yield False
            return
        taken = await self._keys.take(tenant_id, method, key.key, key.request, command_id)
        if taken == "reused":
            raise Refusal(Reason.IDEMPOTENCY_KEY_REUSED, "this idempotency key was used with another request")
        try:
            yield taken == "replay"
        except Refusal:
            if taken == "taken":
                await self._keys.drop(tenant_id, method, key.key)
            raise


class Commands:
    """The operations on commands."""

    def __init__(self, store: CommandStore, keyed: Keyed) -> None:
        self._store = store
        self._keyed = keyed

    async def submit(self, actor: Actor, command: NewCommand) -> Submitted:
        """Store a command and return its ids, or refuse."""
        done = await self._store.submit(actor, "submit", command)
        if done.code in ("ok", "replay"):
            return done
        raise refusal_of(done, command)

    async def submit_many(
        self, actor: Actor, commands: Sequence[NewCommand | Refusal]
    ) -> list[Submitted | Refusal]:  # fmt: skip
        """Store commands, each accepted or refused by itself; what was refused before stays so."""

        async def one(command: NewCommand | Refusal) -> Submitted | Refusal:
            if isinstance(command, Refusal):
                return command
            try:
                return await self.submit(actor, command)
            except Refusal as refusal:
                return refusal

        return await asyncio.gather(*(one(command) for command in commands))

    async def get(self, tenant_id: str, command_id: UUID | None) -> Command:
        """Return a command, or refuse."""
        command = await self._store.get(tenant_id, command_id) if command_id else None
        if command is None:
            raise _missing(Reason.COMMAND_NOT_FOUND, "command")
        return command

    async def cancel(
        self, actor: Actor, command_id: UUID | None, grace_ms: int, reason: str, key: Key | None = None
    ) -> Command:
        """Cancel a command, or ask its runner to; return it as it is then."""
        if command_id is None:
            raise _missing(Reason.COMMAND_NOT_FOUND, "command")
        async with self._keyed.under(actor.tenant_id, "cancel", key, command_id):
            return await self._cancel(actor, command_id, grace_ms, reason)

    async def _cancel(self, actor: Actor, command_id: UUID, grace_ms: int, reason: str) -> Command:
        done = await self._store.cancel(actor, command_id, grace_ms, reason)
        if done.code == "gone":
            raise _missing(Reason.COMMAND_NOT_FOUND, "command")
        if done.code == "finished" and done.state != "cancelled":
            raise Refusal(
                Reason.COMMAND_FINISHED, f"command {command_id} has ended: it {_ended(done.state)}",
                metadata={"command_id": str(command_id), "state": done.state},
            )  # fmt: skip
        return await self.get(actor.tenant_id, command_id)


class DeadLetters:
    """The operations on dead letters."""

    def __init__(self, letters: DeadLetterStore, commands: CommandStore, keyed: Keyed) -> None:
        self._letters = letters
        self._commands = commands
        self._keyed = keyed

    async def get(self, tenant_id: str, command_id: UUID | None) -> DeadLetter:
        """Return a dead letter, or refuse."""
        letter = await self._letters.get(tenant_id, command_id) if command_id else None
        if letter is None:
            raise _missing(Reason.DEAD_LETTER_NOT_FOUND, "dead letter")
        return letter

    async def requeue(self, actor: Actor, command_id: UUID | None, key: str) -> Submitted:
        """Submit a dead command again, as a new one in the agent's live session; a second time it is refused.

        The new command and the mark on the dead letter are one transaction: of two callers at once, one wins.
        """
        old = (await self.get(actor.tenant_id, command_id)).command
        again = NewCommand(
            agent_id=old.agent_id,
            session_id="",
            type=old.type,
            params=old.params,
            correlation_id=old.correlation_id,
            max_attempts=old.max_attempts,
            timeout_ms=old.timeout_ms,
            backoff_ms=old.backoff_ms,
            max_backoff_ms=old.max_backoff_ms,
            priority=old.priority,
            not_before=None,
            retry_tool_errors=old.retry_tool_errors,
            ordering_key=old.ordering_key or "",
            retention_s=old.retention_s,
            key=key,
            hash=sha256(old.command_id.bytes).digest(),
            requeued_from=old.command_id,
        )
        done = await self._commands.submit(actor, "requeue", again)
        if done.code in ("ok", "replay"):
            return done
        raise refusal_of(done, again)

    async def purge(self, tenant_id: str, command_id: UUID | None, key: Key | None = None) -> None:
        """Remove a dead letter, or refuse."""
        if command_id is None:
            raise _missing(Reason.DEAD_LETTER_NOT_FOUND, "dead letter")
        async with self._keyed.under(tenant_id, "purge", key, command_id) as is_replay:
            if not await self._letters.purge(tenant_id, command_id) and not is_replay:
                raise _missing(Reason.DEAD_LETTER_NOT_FOUND, "dead letter")


def refusal_of(done: Submitted, command: NewCommand) -> Refusal:
    """Turn a refused submit into the refusal that callers read."""
    agent, session, state = command.agent_id, command.session_id or done.session_id, done.session_state
    about = {"agent_id": agent, "session_id": session, "state": state}
    reason, message = {
        "agent_not_found": (Reason.AGENT_NOT_FOUND, f"there is no agent {agent}"),
        "session_not_found": (Reason.SESSION_NOT_FOUND, f"there is no session {session}"),
        "moved": (Reason.SESSION_NOT_FOUND, f"there is no session {session}"),
        "no_session": (Reason.SESSION_NOT_ACTIVE, f"agent {agent} has no active session; start one"),
        "not_active": (Reason.SESSION_NOT_ACTIVE, f"session {session} is {state}, not active"),
        "ambiguous": (Reason.SESSION_AMBIGUOUS, f"agent {agent} has several live sessions; name one"),
        "letter_gone": (Reason.DEAD_LETTER_NOT_FOUND, "there is no such dead letter"),
        "requeued": (Reason.DEAD_LETTER_REQUEUED, f"dead letter {command.requeued_from} was requeued before"),
        "reused": (Reason.IDEMPOTENCY_KEY_REUSED, "this idempotency key was used with another request"),
    }[done.code]
    return Refusal(reason, message, metadata={name: value for name, value in about.items() if value})


def _missing(reason: Reason, what: str) -> Refusal:
    return Refusal(reason, f"there is no such {what}")


def _ended(state: str) -> str:
    return "was cancelled" if state == "cancelled" else state
