"""A service imports only what it needs before it serves, and collects no garbage meanwhile."""

import os
import subprocess
import sys

import pytest

# what takes more than 5 ms of CPU to import
_HEAVY = {
    "cryptography", "grpc", "httpx2", "jsonschema", "mcp", "nats", "opentelemetry", "protovalidate", "psycopg",
    "sqlalchemy", "starlette", "typer", "uvicorn",
}  # fmt: skip
_SERVING = {"grpc", "protovalidate"}
_STORING = {"nats", "psycopg"}
_OF_MCP = {"cryptography", "httpx2", "jsonschema", "opentelemetry", "starlette", "uvicorn"}
# It runs the real start until the settings are rejected, which is after all imports.
_PROGRAM = """
import gc, sys
from importlib import import_module
try:
    import_module(f"services.{sys.argv[1]}.__main__").main()
except SystemExit as end:
    print(end.code, gc.isenabled(), gc.get_freeze_count() > 0, *(name for name in sys.modules if "." not in name))
"""


@pytest.mark.parametrize(
    ("service", "needed"),
    [
        ("session", _SERVING | _STORING),
        ("command", _SERVING | _STORING),
        ("runner", _STORING | {"mcp"} | _OF_MCP),
        ("gateway", _SERVING | {"starlette", "uvicorn"}),
    ],
)
def test_start_imports_only_what_the_service_needs(service: str, needed: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, service], capture_output=True, text=True, check=True, timeout=60,
        env={**os.environ, "CALLBOARD_FAILPOINTS": "not a rule"},
    )  # fmt: skip
    code, is_collecting, is_frozen, *imported = done.stdout.splitlines()[-1].split()
    assert (code, is_collecting, is_frozen) == ("2", "True", "True")
    assert set(imported) & _HEAVY == needed
