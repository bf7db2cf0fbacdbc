"""What the operations on dead letters need of storage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from services.command.commands.model import Command
from services.command.dead_letters.model import (
    Attempt,
    DeadLetter,
    DeadLetterFilter,
    PurgeCode,
)


@dataclass(frozen=True, slots=True)
class Match:
    """A dead letter that matches a filter, and when it was asked for."""

    command_id: UUID
    dead_at: datetime
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class Letter:
    """The parts of a dead letter that decide whether it can be requeued."""

    command_id: UUID
    agent_id: str
    requeued_as: UUID | None


@dataclass(frozen=True, slots=True)
class Target:
    """Where an agent's commands would go now: the code that a submit would answer, and the live session, or the one
    that was named."""

    agent_id: str
    code: str
    session_id: str | None
    state: str | None


@dataclass(frozen=True, slots=True)
class Purged:
    """The answer to a purge: `ok`, `replay` or `reused`; which were purged, in order, and what was said of more."""

    code: PurgeCode
    ids: tuple[UUID, ...] = ()
    more: bool = False


class DeadLetterStore(Protocol):
    """Dead letters."""

    async def get(self, tenant_id: str, command_id: UUID) -> DeadLetter | None:
        """Return a dead letter, None when there is none."""

    async def attempts(self, tenant_id: str, command_id: UUID) -> list[Attempt]:
        """Return a command's ended attempts, oldest first."""

    async def find(
        self, tenant_id: str, wanted: DeadLetterFilter, after: Mapping[str, Any] | None, limit: int
    ) -> list[DeadLetter]:
        """Return dead letters, newest first, after the place `{"at", "id"}`."""

    async def match(
        self, tenant_id: str, wanted: DeadLetterFilter, after: Mapping[str, Any] | None, limit: int
    ) -> list[Match]:
        """Return what matches, the longest dead first, after the place `{"at", "id", "until"}` and not past its end."""

    async def count(self, tenant_id: str, wanted: DeadLetterFilter, limit: int) -> int:
        """Count what matches, up to `limit`."""

    async def letters(self, tenant_id: str, ids: Sequence[UUID]) -> dict[UUID, Letter]:
        """Return what there is of these dead letters."""

    async def commands(self, tenant_id: str, ids: Sequence[UUID]) -> tuple[dict[UUID, Command], int]:
        """Return the commands of the first so many ids that fit into memory together, and how many ids these are."""

    async def targets(self, tenant_id: str, agent_ids: Sequence[str], session_id: str | None) -> dict[str, Target]:
        """Return where the agents' commands would go now."""

    async def purge(self, tenant_id: str, key: str, request: bytes, command_id: UUID) -> PurgeCode:
        """Remove a dead letter, in one transaction with the key: `ok`, `replay`, `reused`, or `gone`."""

    async def purge_many(
        self, tenant_id: str, key: str, request: bytes, ids: Sequence[UUID], *, requeued: bool | None, more: bool
    ) -> Purged:
        """Remove dead letters, and store the answer under the key, in one transaction.

        `requeued` takes only those that were requeued, or were not; None takes both.
        """
