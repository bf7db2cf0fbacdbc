"""The queries of dead letters by filter. Each reads one index, in the order of its result."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from libs.db.keyset import keyset
from services.command.commands.model import Command
from services.command.dead_letters.model import DeadLetterFilter

_names = ["tenant_id", "command_id", "agent_id", "session_id", "type", "reason", "correlation_id", "dead_at",
          "requeued_as"]  # fmt: skip
_LETTERS = sa.table("dead_letters", *(sa.column(name) for name in _names), schema="command")
_L = _LETTERS.c
_COLUMNS = [field.name for field in fields(Command)]
_COMMANDS = sa.table("commands", sa.column("tenant_id"), *(sa.column(name) for name in _COLUMNS), schema="command")
_OWN = (_L.command_id, _L.reason, _L.dead_at, _L.requeued_as)


def listing(tenant_id: str, wanted: DeadLetterFilter, after: Mapping[str, Any] | None, limit: int) -> sa.Select[Any]:
    """Select dead letters with their commands, newest first."""
    conditions = _conditions(tenant_id, wanted)
    if after:
        conditions.append(sa.tuple_(_L.dead_at, _L.command_id) < keyset(after))
    chosen = _chosen(conditions, wanted, limit, newest_first=True).subquery("chosen")
    # A command whose retention is over may be deleted at this moment, and its dead letter with it.
    command = (
        sa.select(*(_COMMANDS.c[name] for name in _COLUMNS))
        .where(_COMMANDS.c.tenant_id == tenant_id, _COMMANDS.c.command_id == chosen.c.command_id)
        .offset(sa.literal_column("0"))
        .lateral("command")
    )
    return (
        sa.select(*(command.c[name] for name in _COLUMNS), chosen.c.reason, chosen.c.dead_at, chosen.c.requeued_as)
        .select_from(chosen.join(command, sa.true()))
        .order_by(chosen.c.dead_at.desc(), chosen.c.command_id.desc())
    )


def matching(tenant_id: str, wanted: DeadLetterFilter, after: Mapping[str, Any] | None, limit: int) -> sa.Select[Any]:
    """Select the matches, oldest first, up to the time at which the first page was read."""
    conditions = _conditions(tenant_id, wanted)
    if after:
        conditions.append(sa.tuple_(_L.dead_at, _L.command_id) > keyset(after))
        conditions.append(_L.dead_at <= sa.cast(after["until"], sa.TIMESTAMP(timezone=True)))
    chosen = _chosen(conditions, wanted, limit, newest_first=False).subquery("chosen")
    return sa.select(
        chosen.c.command_id, chosen.c.dead_at, sa.func.clock_timestamp().label("queried_at")
    ).order_by(chosen.c.dead_at, chosen.c.command_id)  # fmt: skip


def count_matching(tenant_id: str, wanted: DeadLetterFilter, limit: int) -> sa.Select[Any]:
    """Select the number of matches, up to `limit`."""
    conditions = _conditions(tenant_id, wanted)
    if wanted.reasons:
        conditions.append(_L.reason.in_(wanted.reasons))
    some = sa.select(_L.command_id).where(*conditions).limit(limit).subquery("some")
    return sa.select(sa.func.count().label("number")).select_from(some)


def _conditions(tenant_id: str, wanted: DeadLetterFilter) -> list[sa.ColumnElement[bool]]:
    """Return the conditions of a filter, except the reasons."""
    given = {name: getattr(wanted, name) for name in ("agent_id", "session_id", "type", "correlation_id")}
    conditions = [_L.tenant_id == tenant_id, *(_L[name] == value for name, value in given.items() if value)]
    if wanted.dead_after is not None:
        conditions.append(_L.dead_at >= wanted.dead_after)
    if wanted.dead_before is not None:
        conditions.append(_L.dead_at < wanted.dead_before)
    if wanted.requeued is not None:
        conditions.append(_L.requeued_as.is_not(None) if wanted.requeued else _L.requeued_as.is_(None))
    return conditions


def _chosen(
    conditions: list[sa.ColumnElement[bool]], wanted: DeadLetterFilter, limit: int, *, newest_first: bool
) -> sa.Select[Any] | sa.CompoundSelect[Any]:
    """Select up to `limit` dead letters in order. Each reason is a query of its own, which reads only its index."""

    def ordered(at: Any, command_id: Any) -> tuple[Any, Any]:
        return (at.desc(), command_id.desc()) if newest_first else (at, command_id)

    base = sa.select(*_OWN).where(*conditions).order_by(*ordered(_L.dead_at, _L.command_id)).limit(limit)
    reasons = wanted.reasons
    if len(reasons) < 2:
        return base.where(_L.reason == reasons[0]) if reasons else base
    each = [base.where(_L.reason == reason).subquery(f"r{index}") for index, reason in enumerate(reasons)]
    every = sa.union_all(*(sa.select(one) for one in each)).subquery("every")
    return sa.select(every).order_by(*ordered(every.c.dead_at, every.c.command_id)).limit(limit)
