"""The use cases that submit and read commands."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from libs.calls import Actor
from libs.errors import Reason, ServiceError
from libs.failpoints import failpoint
from libs.idempotency import key_error
from services.command.commands.model import Command, CommandFilter, NewCommand, SubmitCode, Submitted
from services.command.commands.ports import CommandStore


class Commands:
    """The operations on commands."""

    def __init__(self, store: CommandStore) -> None:
        self._store = store

    async def submit(self, actor: Actor, command: NewCommand) -> Submitted:
        """Store a command and return its ids. Raises ServiceError."""
        done = await self._store.submit(actor, "submit", command)
        failpoint("commands.after_submit_before_answer")
        if done.code in (SubmitCode.OK, SubmitCode.REPLAY):
            return done
        raise error_of(done, command)

    async def submit_many(
        self, actor: Actor, commands: Sequence[NewCommand | ServiceError]
    ) -> list[Submitted | ServiceError]:  # fmt: skip
        """Store commands, and return the ids or the error of each. An error among `commands` is returned unchanged."""

        async def one(command: NewCommand | ServiceError) -> Submitted | ServiceError:
            if isinstance(command, ServiceError):
                return command
            try:
                return await self.submit(actor, command)
            except ServiceError as error:
                return error

        return await asyncio.gather(*(one(command) for command in commands))

    async def get(self, tenant_id: str, command_id: UUID | None) -> Command:
        """Return a command; raises ServiceError COMMAND_NOT_FOUND."""
        command = await self._store.get(tenant_id, command_id) if command_id else None
        if command is None:
            raise command_missing()
        return command

    async def find(
        self, tenant_id: str, wanted: CommandFilter, after: Mapping[str, Any] | None, limit: int
    ) -> list[Command]:
        """Return up to `limit` commands, newest first, after the keyset `{"at", "id"}`."""
        return await self._store.find(tenant_id, wanted, after, limit)


def error_of(done: Submitted, command: NewCommand) -> ServiceError:
    """Return the error of a rejected submit."""
    session = command.session_id or done.session_id
    return error_for(done.code, command.agent_id, session, done.session_state, command.requeued_from)


def error_for(
    code: SubmitCode, agent: str, session: str = "", state: str = "", dead: UUID | None = None
) -> ServiceError:  # fmt: skip
    """Return the error for the code of a rejected submit. `dead` is the dead letter that the submit requeues."""
    about = {"agent_id": agent, "session_id": session, "state": state}
    session_missing = (Reason.SESSION_NOT_FOUND, f"there is no session {session}")
    errors: dict[SubmitCode, tuple[Reason, str]] = {
        SubmitCode.AGENT_NOT_FOUND: (Reason.AGENT_NOT_FOUND, f"there is no agent {agent}"),
        SubmitCode.SESSION_NOT_FOUND: session_missing,
        SubmitCode.MOVED: session_missing,
        SubmitCode.NOT_ITS_SESSION: (
            Reason.SESSION_NOT_FOUND,
            f"session {session} does not belong to the dead command's agent",
        ),
        SubmitCode.NO_SESSION: (Reason.SESSION_NOT_ACTIVE, f"agent {agent} has no active session; start one"),
        SubmitCode.NOT_ACTIVE: (Reason.SESSION_NOT_ACTIVE, f"session {session} is {state}, not active"),
        SubmitCode.AMBIGUOUS: (Reason.SESSION_AMBIGUOUS, f"agent {agent} has several live sessions; name one"),
        SubmitCode.DEAD_LETTER_NOT_FOUND: (Reason.DEAD_LETTER_NOT_FOUND, "there is no such dead letter"),
        SubmitCode.REQUEUED: (Reason.DEAD_LETTER_REQUEUED, f"dead letter {dead} was already requeued"),
    }
    given = {name: value for name, value in about.items() if value}
    error = key_error(code, given)
    if error is not None:
        return error
    reason, message = errors[code]
    return ServiceError(reason, message, metadata=given)


def command_missing() -> ServiceError:
    """Return the error for a command that does not exist."""
    return ServiceError(Reason.COMMAND_NOT_FOUND, "there is no such command")
