"""Runs the subcommands of `callboard dlq`."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import typer

from callboard.commands.v1 import commands_pb2
from services.cli.connection import ServiceConnection, ServiceName, connect, key_of
from services.cli.dead_letters import requests
from services.cli.dead_letters.options import (
    Filters,
    SelectionOptions,
    read_options,
    read_params,
    select,
)
from services.cli.dead_letters.output import DeadLetterOutput
from services.cli.errors import UsageError

_Result = TypeVar("_Result")
_Environment = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """The options of subcommands that act on many dead letters."""

    everything: bool = False
    limit: int | None = None
    dry_run: bool = False
    key: str = ""
    as_json: bool = False
    yes: bool = False


def list_dead_letters(
    environment: _Environment, filters: Filters, *, limit: int, page_token: str, as_json: bool
) -> None:
    """Print dead letters, newest first."""
    matching = filters.read(datetime.now(UTC))
    found = _call(environment, lambda service: requests.find(service, matching, limit, page_token))
    DeadLetterOutput(as_json=as_json).listing(found)


def show_dead_letter(environment: _Environment, command_id: str, *, as_json: bool) -> None:
    """Print one dead letter."""
    DeadLetterOutput(as_json=as_json).dead_letter(
        _call(environment, lambda service: requests.show(service, command_id))
    )


def requeue_dead_letters(
    environment: _Environment,
    ids: Sequence[str],
    filters: Filters,
    changes: Mapping[str, Any],
    params: str | None,
    batch: BatchOptions,
) -> None:
    """Requeue dead letters and print each outcome. Exits with 1 if one was rejected."""
    selection = select(ids, filters, everything=batch.everything, limit=batch.limit, now=datetime.now(UTC))
    options = read_options(**changes)
    text = read_params(params)
    if text is None:
        response = _call(
            environment,
            lambda service: requests.requeue(
                service, selection, options, limit=batch.limit, dry_run=batch.dry_run, key=batch.key
            ),
        )
    elif len(selection.ids) != 1 or batch.dry_run:
        raise UsageError("--params: requires exactly one id and no --dry-run")
    else:
        response = _call(
            environment, lambda service: requests.requeue_one(service, selection.ids[0], text, options, batch.key)
        )
    DeadLetterOutput(as_json=batch.as_json).requeued(response)
    _end(response)


def purge_dead_letters(environment: _Environment, ids: Sequence[str], filters: Filters, batch: BatchOptions) -> None:
    """Purge dead letters and print each outcome. Exits with 1 if one was rejected."""
    selection = select(ids, filters, everything=batch.everything, limit=batch.limit, now=datetime.now(UTC))
    if selection.matching is not None and not batch.dry_run and not batch.yes:
        _confirm(environment, selection, batch)
    response = _call(
        environment,
        lambda service: requests.purge(service, selection, limit=batch.limit, dry_run=batch.dry_run, key=batch.key),
    )
    DeadLetterOutput(as_json=batch.as_json).purged(response)
    _end(response)


def _confirm(environment: _Environment, selection: SelectionOptions, batch: BatchOptions) -> None:
    """Ask for confirmation, with the number that match. Raises UsageError if standard input is no terminal."""
    if not sys.stdin.isatty():
        raise UsageError(
            "a purge by filter asks for confirmation, and standard input is no terminal: use --yes or --dry-run"
        )
    found = _call(
        environment, lambda service: requests.purge(service, selection, limit=batch.limit, dry_run=True, key="")
    )
    number = found.matched if batch.limit is None else min(batch.limit, found.matched)
    typer.confirm(f"Purge {number} dead letters?", abort=True, err=True)


def _end(response: commands_pb2.RequeueDeadLettersResponse | commands_pb2.PurgeDeadLettersResponse) -> None:
    if response.refused:
        raise typer.Exit(1)


def _call(environment: _Environment, ask: Callable[[ServiceConnection], Awaitable[_Result]]) -> _Result:
    async def calling() -> _Result:
        async with connect(environment, ServiceName.COMMAND, key_of(environment)) as service:
            return await ask(service)

    return asyncio.run(calling())
