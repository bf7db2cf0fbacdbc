"""Prints JSON on standard output, in the form of REST."""

from collections.abc import Mapping
from typing import Any

import orjson
import typer

from services.cli.text import escaped_json


def print_json(value: Mapping[str, Any], *, indent: bool = True) -> None:
    """Print an object, indented or on one line. JSON from callers, such as parameters, stays on one line."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else 0).decode()
    typer.echo(escaped_json(text))
