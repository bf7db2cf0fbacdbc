"""The subcommands of `callboard dlq`, from what was typed to what is printed."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import typer

from libs.rpc.stubs import Stubs
from services.cli.dead_letters import requests
from services.cli.dead_letters.options import (
    Chosen,
    Filters,
    choose,
    read_options,
    read_params,
)
from services.cli.dead_letters.output import Output
from services.cli.dead_letters.service import reached
from services.cli.errors import UsageError

_Result = TypeVar("_Result")
_Environment = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """How to go about many dead letters."""

    everything: bool = False
    limit: int | None = None
    dry_run: bool = False
    key: str = ""
    as_json: bool = False
    yes: bool = False


def list_letters(environment: _Environment, filters: Filters, *, limit: int, page_token: str, as_json: bool) -> None:
    """Prints dead letters, newest first."""
    wanted = filters.read(datetime.now(UTC))
    found, token = _call(environment, lambda client: requests.find(client, wanted, limit, page_token))
    Output(as_json=as_json).listing(found, token)


def show_letter(environment: _Environment, command_id: str, *, as_json: bool) -> None:
    """Prints one dead letter."""
    Output(as_json=as_json).letter(_call(environment, lambda client: requests.show(client, command_id)))


def requeue_letters(
    environment: _Environment,
    ids: Sequence[str],
    filters: Filters,
    changes: Mapping[str, Any],
    params: str | None,
    how: BatchOptions,
) -> None:
    """Requeues, prints what became of each, and ends with 1 when any was refused."""
    chosen = choose(ids, filters, everything=how.everything, limit=how.limit, now=datetime.now(UTC))
    options = read_options(**changes)
    text = read_params(params)
    if text is None:
        outcome = _call(
            environment,
            lambda client: requests.requeue(client, chosen, options, limit=how.limit, dry_run=how.dry_run, key=how.key),
        )
    elif len(chosen.ids) != 1 or how.dry_run:
        raise UsageError("--params goes with one id, and not with --dry-run")
    else:
        outcome = _call(environment, lambda client: requests.requeue_one(client, chosen.ids[0], text, options, how.key))
    _end(outcome, "requeued", how)


def purge_letters(environment: _Environment, ids: Sequence[str], filters: Filters, how: BatchOptions) -> None:
    """Purges, prints what became of each, and ends with 1 when any was refused."""
    chosen = choose(ids, filters, everything=how.everything, limit=how.limit, now=datetime.now(UTC))
    if chosen.matching is not None and not how.dry_run and not how.yes:
        _confirm(environment, chosen, how)
    outcome = _call(
        environment, lambda client: requests.purge(client, chosen, limit=how.limit, dry_run=how.dry_run, key=how.key)
    )
    _end(outcome, "purged", how)


def _confirm(environment: _Environment, chosen: Chosen, how: BatchOptions) -> None:
    """Asks whether as many as match are to go; raises UsageError where nobody can answer."""
    if not sys.stdin.isatty():
        raise UsageError("a purge by filter asks first, and nobody is there to answer: say --yes, or --dry-run")
    found = _call(environment, lambda client: requests.purge(client, chosen, limit=how.limit, dry_run=True, key=""))
    number = found["matched"] if how.limit is None else min(how.limit, found["matched"])
    typer.confirm(f"Purge {number} dead letters?", abort=True, err=True)


def _end(outcome: Mapping[str, Any], verb: str, how: BatchOptions) -> None:
    Output(as_json=how.as_json).outcome(outcome, verb)
    if outcome["refused"]:
        raise typer.Exit(1)


def _call(environment: _Environment, work_with: Callable[[Stubs], Awaitable[_Result]]) -> _Result:
    async def calling() -> _Result:
        async with reached(environment) as client:
            return await work_with(client)

    return asyncio.run(calling())
