"""A dead letter: a command that failed for good, and what may be done about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any
from uuid import UUID

from services.command.commands.model import Command, NewCommand

COUNTED_AT_MOST = 10_000
"""A dry run counts no further: counting a million would cost more than it tells."""
DEFAULT_LIMIT = 100
"""How many dead letters one call by filter takes when its caller does not say."""


class PurgeCode(StrEnum):
    """What became of a purge."""

    OK = "ok"
    REPLAY = "replay"
    REUSED = "reused"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a command, as it ended."""

    attempt: int
    runner_id: UUID | None
    outcome: str
    charged: bool
    error: str | None
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A command that failed for good."""

    command: Command
    reason: str
    dead_at: datetime
    requeued_as: UUID | None


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Which dead letters; empty means any, and so does `requeued` None: those that were, and those that were not."""

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
    """What a requeued command has otherwise than the dead one; None means as it was."""

    params: str | None = None
    max_attempts: int | None = None
    timeout_ms: int | None = None
    priority: int | None = None
    not_before: datetime | None = None
    session_id: str | None = field(default=None, repr=False)  # see `_request_hash`


@dataclass(frozen=True, slots=True)
class Selection:
    """The dead letters that a caller means: those of `ids`, or up to `limit` that match `matching`, after `place`."""

    ids: tuple[str, ...] = ()
    matching: DeadLetterFilter | None = None
    limit: int = DEFAULT_LIMIT
    place: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The dead letters that a call is about, chosen once; `more` match than these, and `place` goes on after them."""

    ids: tuple[str, ...]
    more: bool = False
    place: Mapping[str, Any] | None = None


def again(old: Command, changes: Changes, key: str) -> NewCommand:
    """Return the new command that a dead one is submitted as, in its agent's live session or the one that is named."""
    new = NewCommand(
        agent_id="" if changes.session_id else old.agent_id,
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
        hash=_request_hash(old.command_id, changes),
        requeued_from=old.command_id,
    )
    given = {name: value for name in Changes.__slots__ if (value := getattr(changes, name)) is not None}
    return replace(new, **given)


def _request_hash(command_id: UUID, changes: Changes) -> bytes:
    """Return what tells two requeues under one key apart.

    Of what the releases before this one knew it is what it was for them: their keys hold for a day.
    """
    known = replace(changes, session_id=None)
    changed = "" if known == Changes() else repr(known)
    return sha256(command_id.bytes + f"{changed}{changes.session_id or ''}".encode()).digest()
