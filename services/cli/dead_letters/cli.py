"""The options of `callboard dlq`. The code behind them is imported when a subcommand runs."""

import os
from typing import Annotated, Any

import typer

from services.cli.error_output import printed_errors

dlq_app = typer.Typer(
    help="Find, inspect, requeue and purge dead letters: commands that failed for good.\n\n"
    "The address of the service is CALLBOARD_COMMAND_ADDRESS, by default that of the `callboard up` that runs on "
    "CALLBOARD_HOME. The key is CALLBOARD_KEY, by default the home's dev-key.\n\n"
    "Exit codes: 0 success; 1 the service rejected the call or some of the dead letters; 2 invalid usage; 4 no "
    "service answers.",
    no_args_is_help=True,
)
Agent = Annotated[str, typer.Option(help="Only those of this agent.")]
Session = Annotated[str, typer.Option(help="Only those of this session.")]
Type = Annotated[str, typer.Option("--type", help="Only commands of this type.")]
Reason = Annotated[list[str], typer.Option(help="Only those with this reason, such as TOOL_ERROR. May be repeated.")]
After = Annotated[str, typer.Option(help="Died at this time or later: 2026-01-31T09:30:00Z, or 2h for 2 hours ago.")]
Before = Annotated[str, typer.Option(help="Died before this time.")]
Requeued = Annotated[str, typer.Option(help="Select those that were requeued before: true, false or any.")]
Correlation = Annotated[str, typer.Option(help="Only those with this correlation id.")]
Ids = Annotated[list[str], typer.Argument(help="The ids of dead letters, unless a filter selects them.", metavar="ID")]
All = Annotated[bool, typer.Option("--all", help="Select all, without a filter.")]
Limit = Annotated[int | None, typer.Option(min=1, help="The maximum number, with a filter.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and change nothing.")]
RequestId = Annotated[str, typer.Option(help="Idempotency key: repeating the command with it changes nothing more.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print REST's JSON.")]


@dlq_app.command("list")
def list_dead_letters(
    agent: Agent = "",
    session: Session = "",
    type_: Type = "",
    reason: Reason = [],  # noqa: B006 - typer reads it
    after: After = "",
    before: Before = "",
    requeued: Requeued = "",
    correlation: Correlation = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The maximum number.")] = 50,
    page_token: Annotated[str, typer.Option(help="Continue where the last list ended.")] = "",
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first."""
    from services.cli.dead_letters import run
    from services.cli.dead_letters.options import Filters

    filters = Filters(agent=agent, session=session, type=type_, reasons=reason, after=after, before=before,
                      requeued=requeued, correlation=correlation)  # fmt: skip
    with printed_errors():
        run.list_dead_letters(os.environ, filters, limit=limit, page_token=page_token, as_json=as_json)


@dlq_app.command("show")
def show_dead_letter(
    command_id: Annotated[str, typer.Argument(help="The dead letter's id.", metavar="ID")], as_json: AsJson = False
) -> None:
    """Show one dead letter, with every attempt."""
    from services.cli.dead_letters import run

    with printed_errors():
        run.show_dead_letter(os.environ, command_id, as_json=as_json)


@dlq_app.command("requeue")
def requeue_dead_letters(
    ids: Ids = [],  # noqa: B006 - typer reads it
    agent: Agent = "",
    session: Session = "",
    type_: Type = "",
    reason: Reason = [],  # noqa: B006 - typer reads it
    after: After = "",
    before: Before = "",
    correlation: Correlation = "",
    everything: All = False,
    limit: Limit = None,
    params: Annotated[
        str | None, typer.Option(help="New parameters, for one dead letter: JSON, @FILE, or - for standard input.")
    ] = None,
    max_attempts: Annotated[int | None, typer.Option(min=1, max=25, help="The maximum number of attempts.")] = None,
    timeout: Annotated[str, typer.Option(help="The time limit of an attempt, such as 90s.")] = "",
    priority: Annotated[str, typer.Option(help="The priority: high, normal or low.")] = "",
    not_before: Annotated[
        str, typer.Option(help="The earliest start: a time, or a duration from now such as 10m.")
    ] = "",
    into: Annotated[
        str, typer.Option("--into", metavar="SESSION", help="The live session to run in, if the agent has several.")
    ] = "",
    dry_run: DryRun = False,
    request_id: RequestId = "",
    as_json: AsJson = False,
) -> None:
    """Requeue dead letters, each as a new command in its agent's live session."""
    from services.cli.dead_letters import run
    from services.cli.dead_letters.options import Filters

    filters = Filters(agent=agent, session=session, type=type_, reasons=reason, after=after, before=before,
                      correlation=correlation)  # fmt: skip
    changes: dict[str, Any] = {
        "attempts": max_attempts or 0, "timeout": timeout, "priority": priority, "not_before": not_before,
        "into": into,
    }  # fmt: skip
    batch = run.BatchOptions(everything=everything, limit=limit, dry_run=dry_run, key=request_id, as_json=as_json)
    with printed_errors():
        run.requeue_dead_letters(os.environ, ids, filters, changes, params, batch)


@dlq_app.command("purge")
def purge_dead_letters(
    ids: Ids = [],  # noqa: B006 - typer reads it
    agent: Agent = "",
    session: Session = "",
    type_: Type = "",
    reason: Reason = [],  # noqa: B006 - typer reads it
    after: After = "",
    before: Before = "",
    requeued: Annotated[
        str,
        typer.Option(help="Select those that were requeued before: true, false or any. The default is false."),
    ] = "",
    correlation: Correlation = "",
    everything: All = False,
    limit: Limit = None,
    yes: Annotated[bool, typer.Option("--yes", help="Purge by filter without confirmation.")] = False,
    dry_run: DryRun = False,
    request_id: RequestId = "",
    as_json: AsJson = False,
) -> None:
    """Remove dead letters; their commands and events remain."""
    from services.cli.dead_letters import run
    from services.cli.dead_letters.options import Filters

    filters = Filters(agent=agent, session=session, type=type_, reasons=reason, after=after, before=before,
                      requeued=requeued, correlation=correlation)  # fmt: skip
    batch = run.BatchOptions(
        everything=everything, limit=limit, dry_run=dry_run, key=request_id, as_json=as_json, yes=yes
    )
    with printed_errors():
        run.purge_dead_letters(os.environ, ids, filters, batch)
