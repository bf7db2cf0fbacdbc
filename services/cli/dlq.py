"""`callboard dlq`: its options. What it does is imported when it runs."""

import os
from typing import Annotated, Any

import typer

from services.cli.error_output import printed_errors

dlq_app = typer.Typer(
    help="Find, inspect, requeue and purge dead letters: commands that failed for good.\n\n"
    "The service is that of CALLBOARD_COMMAND_ADDRESS, else of the `callboard up` that runs on CALLBOARD_HOME; the "
    "key is CALLBOARD_KEY, else the home's dev-key.\n\n"
    "Exit codes: 0; 1 refused, in part or whole; 2 wrong usage; 4 no service answers.",
    no_args_is_help=True,
)
Agent = Annotated[str, typer.Option(help="Only of this agent.")]
Session = Annotated[str, typer.Option(help="Only of this session.")]
Type = Annotated[str, typer.Option("--type", help="Only of this type of command.")]
Reason = Annotated[list[str], typer.Option(help="Only for this reason, such as TOOL_ERROR; may be repeated.")]
After = Annotated[str, typer.Option(help="Dead at this time or later: 2026-01-31T09:30:00Z, or 2h for 2 hours ago.")]
Before = Annotated[str, typer.Option(help="Dead before this time.")]
Requeued = Annotated[str, typer.Option(help="true, false or any: whether they were requeued before.")]
Correlation = Annotated[str, typer.Option(help="Only of this correlation id.")]
Ids = Annotated[list[str], typer.Argument(help="Ids of dead letters, unless a filter names them.", metavar="ID")]
All = Annotated[bool, typer.Option("--all", help="All that a filter would take, without any filter.")]
Limit = Annotated[int | None, typer.Option(min=1, help="With a filter: how many at most.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
RequestId = Annotated[str, typer.Option(help="Idempotency key: the same again repeats nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dlq_app.command("list")
def list_letters(
    agent: Agent = "",
    session: Session = "",
    type_: Type = "",
    reason: Reason = [],  # noqa: B006 - typer reads it
    after: After = "",
    before: Before = "",
    requeued: Requeued = "",
    correlation: Correlation = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    page_token: Annotated[str, typer.Option(help="Go on where the list before ended.")] = "",
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first."""
    from services.cli.dead_letters import run
    from services.cli.dead_letters.options import Filters

    filters = Filters(agent=agent, session=session, type=type_, reasons=reason, after=after, before=before,
                      requeued=requeued, correlation=correlation)  # fmt: skip
    with printed_errors():
        run.list_letters(os.environ, filters, limit=limit, page_token=page_token, as_json=as_json)


@dlq_app.command("show")
def show_letter(
    command_id: Annotated[str, typer.Argument(help="The dead letter's id.", metavar="ID")], as_json: AsJson = False
) -> None:
    """Show one dead letter, with every attempt."""
    from services.cli.dead_letters import run

    with printed_errors():
        run.show_letter(os.environ, command_id, as_json=as_json)


@dlq_app.command("requeue")
def requeue_letters(
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
        str | None, typer.Option(help="Other parameters for one: JSON, @FILE, or - for standard input.")
    ] = None,
    max_attempts: Annotated[int | None, typer.Option(min=1, max=25, help="How many attempts at most.")] = None,
    timeout: Annotated[str, typer.Option(help="How long an attempt may take, such as 90s.")] = "",
    priority: Annotated[str, typer.Option(help="high, normal or low.")] = "",
    not_before: Annotated[str, typer.Option(help="Not before this time, or, such as 10m, so long from now.")] = "",
    into: Annotated[
        str, typer.Option("--into", metavar="SESSION", help="In this live session, where its agent has several.")
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
    how = run.BatchOptions(everything=everything, limit=limit, dry_run=dry_run, key=request_id, as_json=as_json)
    with printed_errors():
        run.requeue_letters(os.environ, ids, filters, changes, params, how)


@dlq_app.command("purge")
def purge_letters(
    ids: Ids = [],  # noqa: B006 - typer reads it
    agent: Agent = "",
    session: Session = "",
    type_: Type = "",
    reason: Reason = [],  # noqa: B006 - typer reads it
    after: After = "",
    before: Before = "",
    requeued: Annotated[str, typer.Option(help="true, false or any; those that were requeued stay unless asked.")] = "",
    correlation: Correlation = "",
    everything: All = False,
    limit: Limit = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before purging by filter.")] = False,
    dry_run: DryRun = False,
    request_id: RequestId = "",
    as_json: AsJson = False,
) -> None:
    """Remove dead letters; their commands and events remain."""
    from services.cli.dead_letters import run
    from services.cli.dead_letters.options import Filters

    filters = Filters(agent=agent, session=session, type=type_, reasons=reason, after=after, before=before,
                      requeued=requeued, correlation=correlation)  # fmt: skip
    how = run.BatchOptions(
        everything=everything, limit=limit, dry_run=dry_run, key=request_id, as_json=as_json, yes=yes
    )
    with printed_errors():
        run.purge_letters(os.environ, ids, filters, how)
