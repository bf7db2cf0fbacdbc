"""The storage that the use cases of dead letters need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from libs.calls import Actor
from libs.idempotency import IdempotencyKey
from services.command.commands.model import Command, NewCommand, SubmitCode, Submitted
from services.command.dead_letters.model import (
    Attempt,
    DeadLetter,
    DeadLetterFilter,
    PurgeCode,
)


@dataclass(frozen=True, slots=True)
class Match:
    """A dead letter that matches a filter, and the time of the query."""

    command_id: UUID
    dead_at: datetime
    queried_at: datetime


@dataclass(frozen=True, slots=True)
class RequeueTarget:
    """The fields of a dead letter that decide whether it can be requeued."""

    command_id: UUID
    agent_id: str
    requeued_as: UUID | None


@dataclass(frozen=True, slots=True)
class RequeueDestination:
    """Where an agent's commands would go now: the code of a submit, and the live session or the named one."""

    agent_id: str
    code: SubmitCode
    session_id: str | None
    state: str | None


@dataclass(frozen=True, slots=True)
class Purged:
    """The answer to a purge: `ok`, `replay` or `reused`, the ids of the purged, in order, and whether more match."""

    code: PurgeCode
    ids: tuple[UUID, ...] = ()
    more: bool = False


class Commands(Protocol):
    """What dead letters need of commands."""

    async def submit(self, actor: Actor, method: str, command: NewCommand) -> Submitted:
        """Store a command and mark its dead letter as requeued, in one transaction. A replay gets the first answer."""

    async def get(self, tenant_id: str, command_id: UUID) -> Command | None:
        """Return a command, None when there is none; it outlives its dead letter."""


class DeadLetterStore(Protocol):
    """Stores dead letters."""

    async def get(self, tenant_id: str, command_id: UUID) -> DeadLetter | None:
        """Return a dead letter, None when there is none."""

    async def attempts(self, tenant_id: str, command_id: UUID) -> list[Attempt]:
        """Return a command's ended attempts, oldest first."""

    async def find(
        self, tenant_id: str, wanted: DeadLetterFilter, after: Mapping[str, Any] | None, limit: int
    ) -> list[DeadLetter]:
        """Return dead letters, newest first, after the keyset `{"at", "id"}`."""

    async def match(
        self, tenant_id: str, wanted: DeadLetterFilter, after: Mapping[str, Any] | None, limit: int
    ) -> list[Match]:
        """Return matches, oldest first, after the keyset `{"at", "id", "until"}` and not later than `until`."""

    async def count(self, tenant_id: str, wanted: DeadLetterFilter, limit: int) -> int:
        """Count the matches, up to `limit`."""

    async def requeue_targets(self, tenant_id: str, ids: Sequence[UUID]) -> dict[UUID, RequeueTarget]:
        """Return those of these dead letters that exist."""

    async def commands(self, tenant_id: str, ids: Sequence[UUID]) -> tuple[dict[UUID, Command], int]:
        """Return the commands of the first ids, as many as fit into memory together, and the number of these ids."""

    async def destinations(
        self, tenant_id: str, agent_ids: Sequence[str], session_id: str | None
    ) -> dict[str, RequeueDestination]:
        """Return where the agents' commands would go now."""

    async def purge(self, tenant_id: str, key: IdempotencyKey | None, command_id: UUID) -> PurgeCode:
        """Remove a dead letter in one transaction with the key. Returns `ok`, `replay`, `reused` or `gone`."""

    async def purge_many(
        self, tenant_id: str, key: IdempotencyKey | None, ids: Sequence[UUID], *, requeued: bool | None, more: bool
    ) -> Purged:
        """Remove dead letters and store the answer under the key, in one transaction.

        With `requeued` true or false, remove only those that were requeued, or were not; with None, both.
        """
