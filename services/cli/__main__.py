"""The `callboard` command. Each subcommand imports what it needs when it runs, so that `--help` is fast."""

import os
import sys
from typing import Annotated

import typer

from services.cli.call import HELP as CALL_HELP
from services.cli.call import call
from services.cli.dlq import dlq_app
from services.cli.error_output import printed_errors
from services.cli.errors import CliError

app = typer.Typer(
    name="callboard",
    help="Durable sessions, reliable commands and a live work stream for AI agents.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
keys_app = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
app.add_typer(dlq_app, name="dlq")


@app.command()
def up(
    runners: Annotated[int, typer.Option(min=0, max=64, help="The number of runners to start.")] = 1,
) -> None:
    """Run everything on this machine until Ctrl-C: Postgres, NATS, services, runners, gateway."""
    import asyncio
    import logging

    from libs.embedded import ChildError, EngineError
    from services.cli.output import Output
    from services.cli.settings import UpSettings
    from services.cli.up import run_up

    logging.basicConfig(level=logging.WARNING, format="  %(message)s", stream=sys.stdout)
    output = Output()
    with printed_errors():
        settings = UpSettings.from_environment(os.environ, runners)
        try:
            asyncio.run(run_up(settings, output))
        except (ChildError, EngineError) as error:
            output.failure(error)
            raise typer.Exit(1) from error


@app.command()
def migrate() -> None:
    """Migrate the database to the schema of this version."""
    from services.cli.database import migrate as migrate_database
    from services.cli.keys import database_of

    with printed_errors():
        migrate_database(database_of(dict(os.environ)))


@app.command()
def version() -> None:
    """Print the version."""
    from services.cli.version import installed_version

    typer.echo(installed_version())


@keys_app.command("create")
def create_key(
    tenant: Annotated[str, typer.Option(help="The tenant that the key is for. It is created if it is new.")],
    role: Annotated[str, typer.Option(help="viewer, operator or admin.")],
    name: Annotated[str, typer.Option(help="What the key is for.")] = "",
) -> None:
    """Create a key and print it. It is never shown again."""
    from services.cli.keys import Role, create

    with printed_errors():
        if role not in tuple(Role):
            raise CliError(f"--role: {role!r} is not one of {', '.join(Role)}")
        create(tenant, Role(role), name)


@keys_app.command("list")
def list_keys() -> None:
    """List all keys, without their secrets."""
    from services.cli.keys import show_all

    with printed_errors():
        show_all()


@keys_app.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="The key's id, as `keys list` shows it.")]) -> None:
    """Revoke a key for good."""
    from services.cli.keys import revoke

    with printed_errors():
        revoke(key_id)


app.command("call", help=CALL_HELP, short_help="Call any method of the contract by its name.")(call)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
