"""The `callboard` command. Each subcommand imports what it needs when it runs, so that `--help` is fast."""

import os

import typer

from services.cli.calls.cli import HELP as CALL_HELP
from services.cli.calls.cli import call
from services.cli.dead_letters.cli import dlq_app
from services.cli.error_output import printed_errors
from services.cli.keys.cli import keys_app
from services.cli.up.cli import up

app = typer.Typer(
    name="callboard",
    help="Durable sessions, reliable commands and a live work stream for AI agents.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(keys_app, name="keys")
app.add_typer(dlq_app, name="dlq")
app.command()(up)


@app.command()
def migrate() -> None:
    """Migrate the database to the schema of this version."""
    from services.cli.database import database_of
    from services.cli.database import migrate as migrate_database

    with printed_errors():
        migrate_database(database_of(os.environ))


@app.command()
def version() -> None:
    """Print the version."""
    from services.cli.version import installed_version

    typer.echo(installed_version())


app.command("call", help=CALL_HELP, short_help="Call any method of the contract by its name.")(call)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
