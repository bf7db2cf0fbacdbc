"""An MCP server over stdio whose tools log what they did to a file outside the system, synced line by line.

    python tool_server.py EFFECTS

A line: {time, tool, phase, commandId, attempt, pid, mark}. `time` is in seconds of the monotonic clock. `phase` is
start, end, error or cancelled. `mark` is unique to the execution and is part of its result.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

REPEATABLE = ToolAnnotations(read_only_hint=False, idempotent_hint=True, open_world_hint=False)


class Effects:
    """Middleware that records each tool call before it begins and after it has ended."""

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, phase: str, params: dict[str, Any], mark: str) -> None:
        """Append a line and sync it to the disk."""
        meta = params.get("_meta") or {}
        line = {
            "time": time.monotonic(), "tool": params.get("name"), "phase": phase,
            "commandId": meta.get("callboard/command-id"), "attempt": meta.get("callboard/attempt"),
            "pid": os.getpid(), "mark": mark,
        }  # fmt: skip
        os.write(self._descriptor, json.dumps(line).encode() + b"\n")
        os.fsync(self._descriptor)

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        if ctx.method != "tools/call":
            return await call_next(ctx)
        params, mark = dict(ctx.params or {}), uuid4().hex
        _MARKS[asyncio.current_task()] = mark
        self.note("start", params, mark)
        phase = "cancelled"
        try:
            result = await call_next(ctx)
            phase = "error" if getattr(result, "is_error", False) else "end"
        except Exception:
            phase = "error"
            raise
        finally:
            self.note(phase, params, mark)
            _MARKS.pop(asyncio.current_task(), None)
        return result


_MARKS: dict[Any, str] = {}


def _mark() -> str:
    return _MARKS.get(asyncio.current_task(), "")


def make_server(effects: Effects) -> MCPServer[Any]:
    """Build the server."""
    server: MCPServer[Any] = MCPServer("chaos", version="1.0.0", middleware=[effects], log_level="ERROR")
    add_usual_tools(server)
    add_odd_tools(server)
    return server


def add_usual_tools(server: MCPServer[Any]) -> None:
    """Add the tools that end by themselves."""

    @server.tool(annotations=REPEATABLE)
    async def work(seconds: float, context: Context[Any, Any]) -> dict[str, str]:
        """Take some seconds, and report progress every half second. Ends at once when cancelled."""
        for step in range(int(seconds * 2)):
            await asyncio.sleep(0.5)
            await context.report_progress(step, seconds * 2, "at it")
        await asyncio.sleep(seconds % 0.5)
        return {"mark": _mark()}

    @server.tool(annotations=REPEATABLE)
    async def stubborn(seconds: float) -> dict[str, str]:
        """Take some seconds, and ignore cancels."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                continue
        return {"mark": _mark()}

    @server.tool(annotations=REPEATABLE)
    async def fail() -> str:
        """Fail."""
        raise ToolError("failed on purpose")


def add_odd_tools(server: MCPServer[Any]) -> None:
    """Add the tools that harm the server or its client."""

    @server.tool(annotations=REPEATABLE)
    async def crash() -> str:
        """Kill the server at once."""
        os._exit(3)

    @server.tool(annotations=REPEATABLE)
    async def hang() -> str:
        """Block the server, so that it answers nothing any more."""
        time.sleep(3600)  # noqa: ASYNC251
        return ""

    @server.tool(annotations=REPEATABLE)
    async def garbage() -> dict[str, str]:
        """Write invalid JSON-RPC to stdout, then answer."""
        os.write(1, b'\xff\xfe this is no frame \x00\n{"jsonrpc":\n')
        return {"mark": _mark()}

    @server.tool(annotations=REPEATABLE, structured_output=False)
    async def big(size: int) -> str:
        """Return a text of `size` bytes."""
        return "x" * size


if __name__ == "__main__":
    make_server(Effects(Path(sys.argv[1]))).run("stdio")
