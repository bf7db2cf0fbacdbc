"""How subcommands end when they refuse."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from services.cli.errors import RefusedError


@contextmanager
def printed_errors() -> Iterator[None]:
    """Prints what the caller has to put right, and ends with its exit code."""
    try:
        yield
    except RefusedError as error:
        typer.echo(f"callboard: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
