"""A small MCP server for trying Callboard, in one file, so that it can be run by path from anywhere.

    python -m examples.trial_server                    over stdio
    python examples/trial_server/__main__.py --http 0  over HTTP on 127.0.0.1, the URL on stderr

`--state DIR` is the folder for the counters of `flaky`, which survive the server. `--effects FILE` gets a line of JSON,
synced to the disk, when a tool starts and when it ends, with the command id and the attempt that Callboard sent.
"""

import argparse
import asyncio
import hashlib
import json
import os
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

MAX_BYTES = 64 * 1024 * 1024

READS = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
REPEATABLE = ToolAnnotations(read_only_hint=False, idempotent_hint=True, open_world_hint=False)
CHANGES = ToolAnnotations(read_only_hint=False, idempotent_hint=False, destructive_hint=False, open_world_hint=False)
DESTROYS = ToolAnnotations(read_only_hint=False, idempotent_hint=False, destructive_hint=True, open_world_hint=False)


class Effects:
    """Records what the tools did, line by line. Each line is synced before the tool continues."""

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, phase: str, params: dict[str, Any]) -> None:
        """Append a line. `phase` is start, end, error or cancelled."""
        meta = params.get("_meta") or {}
        line = {
            "tool": params.get("name"),
            "phase": phase,
            "commandId": meta.get("callboard/command-id"),
            "attempt": meta.get("callboard/attempt"),
            "pid": os.getpid(),
            "time": time.time(),
        }
        os.write(self._descriptor, json.dumps(line).encode() + b"\n")
        os.fsync(self._descriptor)

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Record every tool call, as middleware of the server."""
        if ctx.method != "tools/call":
            return await call_next(ctx)
        params = dict(ctx.params or {})
        self.note("start", params)
        phase = "error"
        try:
            result = await call_next(ctx)
            phase = "error" if getattr(result, "is_error", False) else "end"
        except asyncio.CancelledError:
            phase = "cancelled"
            raise
        finally:
            self.note(phase, params)
        return result


class Counters:
    """Counters by key. Each is a file whose length is the count, so that an increment is atomic."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory

    def add(self, key: str) -> int:
        """Add one, and return the new count."""
        file = self._directory / hashlib.sha256(key.encode()).hexdigest()
        with file.open("ab") as stream:
            stream.write(b"+")
            stream.flush()
            return os.fstat(stream.fileno()).st_size


def make_server(counters: Counters, effects: Effects | None = None) -> MCPServer[Any]:
    """Build the server."""
    server: MCPServer[Any] = MCPServer(
        "callboard-trial",
        version="1.0.0",
        instructions="Tools that succeed, fail, wait and crash on demand.",
        middleware=[effects] if effects else None,
        log_level="WARNING",
    )
    add_quiet_tools(server)
    add_failing_tools(server, counters)
    add_notes(server)

    @server.resource("trial://about", name="about", mime_type="text/plain")
    def about() -> str:
        """Describe this server."""
        return "The trial server of Callboard."

    @server.prompt()
    def greet(name: str) -> str:
        """Ask for a greeting of someone."""
        return f"Please greet {name} warmly."

    return server


def add_quiet_tools(server: MCPServer[Any]) -> None:
    """Add the tools that succeed."""

    @server.tool(annotations=READS)
    async def echo(text: str) -> str:
        """Return the text."""
        return text

    @server.tool(annotations=READS)
    async def count(to: int, context: Context[Any, Any], delay: float = 0.05) -> int:
        """Count from 1 and report progress at each step; `delay` is the time between steps in seconds."""
        for step in range(1, to + 1):
            await context.report_progress(step, to, f"{step} of {to}")
            await asyncio.sleep(delay)
        return to

    @server.tool(annotations=READS)
    async def sleep(seconds: float) -> float:
        """Wait, and end at once when cancelled."""
        await asyncio.sleep(seconds)
        return seconds

    @server.tool(annotations=READS, structured_output=False)
    async def big(bytes: int) -> str:  # noqa: A002 - the name that callers see
        """Return a text of that many bytes, at most 64 MiB."""
        if not 0 <= bytes <= MAX_BYTES:
            raise ToolError(f"bytes must be between 0 and {MAX_BYTES}")
        return "x" * bytes


def add_failing_tools(server: MCPServer[Any], counters: Counters) -> None:
    """Add the tools that fail."""

    @server.tool(annotations=REPEATABLE)
    async def flaky(key: str, failures: int) -> str:
        """Fail for the first `failures` calls with this key, then work."""
        calls = counters.add(key)
        if calls <= failures:
            raise ToolError(f"failure {calls} of {failures}")
        return f"worked at call {calls}"

    @server.tool(annotations=CHANGES)
    async def fail(message: str) -> str:
        """Fail with this message."""
        raise ToolError(message)

    @server.tool(annotations=DESTROYS)
    async def crash() -> str:
        """Kill the server's process at once."""
        os._exit(70)


def add_notes(server: MCPServer[Any]) -> None:
    """Add the tools whose state lasts as long as the process."""
    kept: list[str] = []

    @server.tool(annotations=CHANGES)
    async def note(text: str) -> int:
        """Keep a note, and return the number of notes."""
        kept.append(text)
        return len(kept)

    @server.tool(annotations=READS)
    async def notes() -> list[str]:
        """Return the notes kept since the server started."""
        return list(kept)


async def serve_http(server: MCPServer[Any], port: int) -> None:
    """Serve streamable HTTP. `port` 0 means any free port."""
    import uvicorn  # comes with mcp; stdio does not need it

    listener = socket.create_server(("127.0.0.1", port))
    sys.stderr.write(f"listening on http://127.0.0.1:{listener.getsockname()[1]}/mcp\n")
    sys.stderr.flush()
    config = uvicorn.Config(server.streamable_http_app(), log_level="warning")
    await uvicorn.Server(config).serve(sockets=[listener])


def main() -> None:
    """Read the arguments, and serve until stdin ends or a signal arrives."""
    parser = argparse.ArgumentParser(prog="trial_server", description="A small MCP server for trying Callboard.")
    parser.add_argument("--http", type=int, metavar="PORT", help="serve HTTP instead of stdio; 0 is any free port")
    default_state = Path(tempfile.gettempdir()) / f"callboard-trial-{os.getuid()}"
    parser.add_argument("--state", type=Path, default=default_state, metavar="DIR", help="folder for flaky's counters")
    parser.add_argument("--effects", type=Path, metavar="FILE", help="append a line when a tool starts and ends")
    options = parser.parse_args()
    server = make_server(Counters(options.state), Effects(options.effects) if options.effects else None)
    if options.http is None:
        server.run("stdio")
    else:
        asyncio.run(serve_http(server, options.http))


if __name__ == "__main__":
    main()
