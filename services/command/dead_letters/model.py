"""The values of dead letters: commands that failed for good."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any
from uuid import UUID

from libs.attempts import FailureCode, Outcome
from libs.idempotency import KeyCode
from services.command.commands.model import Command, NewCommand

COUNTED_AT_MOST = 10_000
"""The most matches that a dry run counts: counting a million is not worth its cost."""
DEFAULT_LIMIT = 100
"""The most dead letters that one call by filter takes when its caller gives no limit."""


class PurgeCode(StrEnum):
    """The result of a purge."""

    OK = "ok"
    REPLAY = KeyCode.REPLAY.value
    REUSED = KeyCode.REUSED.value
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One ended attempt at a command."""

    attempt: int
    runner_id: UUID | None
    outcome: Outcome
    charged: bool
    error: str | None
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A command that failed for good."""

    command: Command
    reason: FailureCode
    dead_at: datetime
    requeued_as: UUID | None


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """A filter of dead letters. Empty means any. `requeued` is None for both requeued and other dead letters."""

    agent_id: str = ""
    session_id: str = ""
    type: str = ""
    reasons: tuple[str, ...] = ()
    dead_after: datetime | None = None
    dead_before: datetime | None = None
    requeued: bool | None = None
    correlation_id: str = ""


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes that a requeue makes to a command. None means unchanged."""

    params: str | None = None
    max_attempts: int | None = None
    timeout_ms: int | None = None
    priority: int | None = None
    not_before: datetime | None = None
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """The dead letters of a call: those with `ids`, or up to `limit` that match `matching` after `keyset`."""

    ids: tuple[str, ...] = ()
    matching: DeadLetterFilter | None = None
    limit: int = DEFAULT_LIMIT
    keyset: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The dead letters that a call has chosen. `more` says that others match too; `keyset` continues after these."""

    ids: tuple[str, ...]
    more: bool = False
    keyset: Mapping[str, Any] | None = None


def requeued_command(old: Command, changes: Changes, key: str) -> NewCommand:
    """Return the new command for a dead one, in its agent's live session or in the named one."""
    new = NewCommand(
        **old.run_options(),
        agent_id="" if changes.session_id else old.agent_id,
        session_id="",
        type=old.type,
        params=old.params,
        correlation_id=old.correlation_id,
        max_attempts=old.max_attempts,
        priority=old.priority,
        not_before=None,
        ordering_key=old.ordering_key or "",
        retention_s=old.retention_s,
        key=key,
        hash=_request_hash(old.command_id, changes),
        requeued_from=old.command_id,
    )
    given = {name: value for name in Changes.__slots__ if (value := getattr(changes, name)) is not None}
    return replace(new, **given)


def _request_hash(command_id: UUID, changes: Changes) -> bytes:
    """Return a hash that differs between different requeues under one key."""
    return sha256(command_id.bytes + repr(changes).encode()).digest()
