"""The commands of `callboard` are fast: they import nothing that only other commands need."""

import subprocess
import sys

import pytest

# without pydantic, with which typer itself converts arguments
_HEAVY = {"fastapi", "grpc", "mcp", "nats", "psycopg", "rich"}
_PROGRAM = """
import sys
from services.cli.__main__ import app
try:
    app(sys.argv[1:])
except SystemExit:
    pass
print("imported", *(name for name in sys.modules if "." not in name))
"""


@pytest.mark.parametrize(
    "arguments", [["version"], ["up", "--help"], ["--help"], ["dlq", "--help"], ["keys", "--help"], ["call", "--help"]]
)
def test_help_and_version_import_nothing_heavy(arguments: list[str]) -> None:
    allowed = {"rich"} if "--help" in arguments else set()  # typer prints help with it
    assert _imported(arguments) & _HEAVY <= allowed


def test_call_imports_nothing_of_the_engines() -> None:
    assert _imported(["call", "--list"]) & _HEAVY == {"grpc"}


def _imported(arguments: list[str]) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments], capture_output=True, text=True, check=True, timeout=30
    )
    return set(done.stdout.splitlines()[-1].split()[1:])
