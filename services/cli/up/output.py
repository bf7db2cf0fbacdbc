"""Prints the output of `callboard up`."""

import os
import shlex
import sys

from rich.console import Console

from libs.embedded import ChildError
from services.cli.home import Home
from services.cli.up.settings import Addresses

_JSON = '-H "Content-Type: application/json"'


class UpOutput:
    """Prints lines for people. They are plain when standard output is not a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)

    def line(self, text: str) -> None:
        """Print one line."""
        self._print(f"  {text}")

    def up(self, addresses: Addresses, home: Home) -> None:
        """Print that everything runs, the addresses, and an example."""
        self._print("\nCallboard is up.", style="bold green")
        for name, value in {
            "API": f"{addresses.http}/api/v1",
            "key": f"{home.dev_key} (admin of the tenant `default`)",
            "gRPC": f"{addresses.session} (session), {addresses.command} (command)",
            "logs": str(home.logs),
            "pid": str(os.getpid()),
        }.items():
            self._print(f"  {name:<5} {value}")
        self._print("\nTry, in another terminal:", style="bold")
        for line in _examples(f"{addresses.http}/api/v1", home):
            self._print(f"  {line}")
        self._print("\nCtrl-C stops it.")
        sys.stdout.flush()

    def failure(self, error: Exception) -> None:
        """Print why `up` ended, after the last lines of the part that failed."""
        if isinstance(error, ChildError):
            for text in error.last_lines:
                self._print(f"  {error.name} | {text}", style="dim")
        self._print(f"callboard: {error}", style="bold red")

    def _print(self, text: str, style: str | None = None) -> None:
        self._console.print(text, style=style, markup=False, soft_wrap=True)


def _examples(api: str, home: Home) -> list[str]:
    key = f'-H "Authorization: Bearer $(cat {shlex.quote(str(home.dev_key))})"'
    agent = """'{"agentId":"clock","displayName":"Clock","connector":{"kind":"mcp","server":"time"}}'"""
    command = """'{"type":"run_tool","params":{"tool":"get_current_time","arguments":{"timezone":"UTC"}}}'"""
    return [
        f"curl {key} {_JSON} {api}/agents -d {agent}",
        f"curl {key} -X POST {api}/agents/clock/start",
        f"curl {key} {_JSON} {api}/agents/clock/command -d {command}",
    ]
