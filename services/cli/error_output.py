"""Prints the errors of commands and sets the exit code."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from services.cli.errors import CliError
from services.cli.text import plain_lines


@contextmanager
def printed_errors() -> Iterator[None]:
    """Print an error and exit with its code. Exit without a message if the output is closed."""
    try:
        yield
    except CliError as error:
        typer.echo(f"callboard: {plain_lines(str(error))}", err=True)
        raise typer.Exit(error.exit_code) from error
    except BrokenPipeError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the rest would be flushed at exit
        raise typer.Exit(0) from error
