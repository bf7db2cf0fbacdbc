"""Server registries, connections and processes for tests of the MCP executor."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from libs.attempts import AttemptFailedError, Failure
from libs.server_registry import ServerRegistryFile
from services.runner.executors.mcp import McpExecutor
from services.runner.executors.mcp.connection import McpConnection
from services.runner.executors.ports import (
    EXECUTION_OPTIONS,
    Connector,
    Execution,
    SessionRef,
)

TRIAL = str(Path(__file__).parents[2] / "examples/trial_server/__main__.py")
MISBEHAVING = str(Path(__file__).with_name("misbehaving_server.py"))
SESSION = SessionRef(tenant_id="t", session_uid="u", session_id="s", agent_id="a")


class Recorder:
    """A reporter that records its calls."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, float | None, str | None]] = []
        self.outputs: list[Mapping[str, Any]] = []

    def progress(self, progress: float, total: float | None, message: str | None) -> None:
        self.steps.append((progress, total, message))

    def output(self, output: Mapping[str, Any]) -> None:
        self.outputs.append(output)


def executor(folder: Path, **servers: Mapping[str, Any]) -> McpExecutor:
    """An executor with a server registry of these entries."""
    lines = []
    for name, entry in servers.items():
        lines.append(f"[servers.{name}]")
        lines += [f"{key} = {_toml(value)}" for key, value in entry.items()]
    file = folder / "servers.toml"
    file.write_text("\n".join(lines))
    return McpExecutor(ServerRegistryFile(file))


@contextmanager
def trial_over_http(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Runs a trial server as a process, and yields its URL and the process."""
    command_line = [sys.executable, TRIAL, "--http", "0", "--state", str(folder / "state")]
    command_line += ["--effects", str(folder / "effects")]
    process = subprocess.Popen(command_line, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    try:
        yield process.stderr.readline().rpartition(" ")[2].strip(), process
    finally:
        process.kill()
        process.stderr.close()
        process.wait()


def _toml(value: object) -> str:
    """A TOML value. Strings, numbers and lists are as in JSON."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


def stdio(*args: str, **more: Any) -> dict[str, Any]:
    """A registry entry that runs this interpreter."""
    return {"transport": "stdio", "command": sys.executable, "args": list(args), **more}


@asynccontextmanager
async def connected(folder: Path, entry: Mapping[str, Any], *, grace: float = 5) -> AsyncIterator[McpConnection]:
    """A connection to the server of one entry, closed at the end."""
    connection = await executor(folder, one=entry).connect(SESSION, Connector("mcp", "one"))
    try:
        yield connection
    finally:
        await connection.close(grace)


def command(type_: str, params: Mapping[str, Any], **more: Any) -> Execution:
    """One attempt at a command."""
    options: dict[str, Any] = dict.fromkeys(EXECUTION_OPTIONS)
    values = {"command_id": "command-1", "correlation_id": "c", "attempt": 1, "timeout": 20.0}
    return Execution(type=type_, params=params, **(options | values | more))


def tool(name: str, /, arguments: Mapping[str, Any] | None = None, **more: Any) -> Execution:
    """One attempt at `run_tool`."""
    return command("run_tool", {"tool": name, "arguments": arguments or {}}, **more)


def text_of(result: Mapping[str, Any]) -> str:
    """The text of a tool's result."""
    return str(result["content"][0]["text"])


async def failure_of(connection: McpConnection, execution: Execution) -> Failure:
    """Runs an attempt that must fail, and returns its failure."""
    with pytest.raises(AttemptFailedError) as caught:
        await connection.execute(execution, Recorder())
    return caught.value.failure


def recorded_pids(file: Path) -> list[int]:
    """The process ids that a misbehaving server recorded."""
    return [int(line[4:]) for line in file.read_text().splitlines() if line.startswith("pid ")]


def runs(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in {"Z", "X"}


def nothing_runs(record: Path) -> bool:
    """Whether all processes that a misbehaving server recorded are gone."""
    pids = recorded_pids(record)
    return bool(pids) and not any(runs(pid) for pid in pids)


def count_of(text: str, record: Path) -> int:
    """How many lines with this text a misbehaving server read."""
    return record.read_text().count(text)


def messages(record: Path, method: str) -> list[dict[str, Any]]:
    """The messages of one method that a misbehaving server read."""
    lines = [json.loads(line) for line in record.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("method") == method]
