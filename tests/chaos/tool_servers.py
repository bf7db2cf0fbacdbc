"""The tool servers of a run: their server registry, and the server over HTTP, whose answers can be made faulty."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from libs.embedded import ChildSpec, free_port
from services.cli.checks import http_ok
from services.cli.defaults import LOOPBACK
from tests.chaos.agents import HTTP_ENTRY, STDIO_ENTRY
from tests.chaos.schedule import HTTP_TOOLS
from tests.support.suite_process import SuiteProcess

_ROOT = Path(__file__).resolve().parents[2]
_STDIO_SERVER = Path(__file__).with_name("tool_server.py")
_FAULT_FILE = "http-fault"
_READY_SECONDS = 60.0


def http_tools(out: Path) -> SuiteProcess:
    """Return the server over HTTP, not started yet."""
    port = free_port(LOOPBACK)
    address = f"{LOOPBACK}:{port}"
    # The folder instead of the effects file, because the file identifies the stdio servers, which end with sessions.
    arguments = [str(out), str(out / _FAULT_FILE), str(port)]
    spec = ChildSpec(
        name=HTTP_TOOLS,
        argv=[sys.executable, "-m", "tests.chaos.http_tool_server", *arguments],
        environment=dict(os.environ),
        cwd=_ROOT,
        ready=partial(http_ok, address, "/healthz"),
        ready_seconds=_READY_SECONDS,
    )
    return SuiteProcess(spec, out, address)


@contextmanager
def bad_answers(out: Path, fault: str) -> Iterator[None]:
    """Give every answer of the server over HTTP a fault while the block runs."""
    file = out / _FAULT_FILE
    file.write_text(fault)
    try:
        yield
    finally:
        file.unlink()


def server_registry(out: Path, http: SuiteProcess | None) -> str:
    """Return the server registry as TOML. Its strings and lists have the syntax of JSON."""
    arguments = json.dumps([str(_STDIO_SERVER), str(out / "effects.jsonl")])
    entries = [
        f'[servers.{STDIO_ENTRY}]\ntransport = "stdio"\ncommand = {json.dumps(sys.executable)}\nargs = {arguments}\n'
    ]
    if http is not None:
        entries.append(f'[servers.{HTTP_ENTRY}]\ntransport = "http"\nurl = "http://{http.address}/mcp"\n')
    return "".join(entries)
