"""The stdio transport to an agent process.

It replaces the SDK's `stdio_client`, which passes the runner's HOME, USER and SHELL to the process, leaves the process
alive when the runner is killed, shares the runner's stderr, buffers endless lines, and drops answers with broken text,
so that their commands time out.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
import structlog
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

from libs.server_registry import StdioEntry
from services.runner.executors.mcp import frames
from services.runner.executors.mcp.process import AgentProcess

_log = structlog.get_logger(__name__)

_Incoming = MemoryObjectSendStream[SessionMessage | Exception]
_Outgoing = MemoryObjectReceiveStream[SessionMessage]

_CHUNK = 64 * 1024
_QUEUE = 256  # messages to a server that does not read; a cancel notification must find room without waiting
_MAX_GARBAGE = 10_000  # lines in a row without a message; a server that writes more does not speak MCP
_DRAIN_SECONDS = 0.25  # time to read the last output of a process that ended while another holds its pipe open


class StdioTransport:
    """A `Transport` to a server that this runner starts as a process."""

    makes_closed_errors = False

    def __init__(self, entry: StdioEntry, mark: str) -> None:
        self.grace = 0.0
        self._entry = entry
        self._mark = mark
        self._process: AgentProcess | None = None
        self._garbage: list[bytes] = []

    def diagnosis(self) -> str:
        """Return how the process ended, the first line that was not a message, and the end of its stderr."""
        if self._process is None:
            return "the process was not started"
        facts = [f"process {self._process.pid} {self._process.status}"]
        facts += [f"stdout had {line[:200]!r}" for line in self._garbage]
        if tail := self._process.stderr_tail():
            facts.append(f"stderr ends {tail!r}")
        return "; ".join(facts)

    @asynccontextmanager
    async def open(
        self, on_lost: Callable[[str], None]
    ) -> AsyncGenerator[
        tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]
    ]:
        """See `Transport`."""
        process = self._process = await AgentProcess.start(self._entry, self._mark)
        try:
            incoming, session_reads = anyio.create_memory_object_stream[SessionMessage | Exception](0)
            session_writes, outgoing = anyio.create_memory_object_stream[SessionMessage](_QUEUE)
            async with anyio.create_task_group() as tasks, session_reads, session_writes, incoming, outgoing:
                tasks.start_soon(self._read, process, incoming, on_lost)
                tasks.start_soon(self._write, process, outgoing, on_lost)
                tasks.start_soon(self._watch, process, on_lost)
                yield session_reads, session_writes
                tasks.cancel_scope.cancel()
        finally:
            await process.stop(self.grace)

    async def _read(self, process: AgentProcess, incoming: _Incoming, on_lost: Callable[[str], None]) -> None:
        lines, garbage = frames.LineSplitter(), 0
        async with incoming:
            while garbage < _MAX_GARBAGE and (chunk := await process.stdout.read(_CHUNK)):
                for line in lines.feed(chunk):
                    message = frames.parse(line) if isinstance(line, bytes) else line
                    if message is None:
                        garbage += 1
                        self._record_garbage(line)
                        continue
                    garbage = 0
                    try:
                        await incoming.send(SessionMessage(message))
                    except anyio.BrokenResourceError:
                        return  # the session was closed meanwhile
            on_lost("the server's output is not MCP" if garbage >= _MAX_GARBAGE else "the server closed its output")

    async def _write(self, process: AgentProcess, outgoing: _Outgoing, on_lost: Callable[[str], None]) -> None:
        try:
            async for item in outgoing:
                text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                await process.stdin.write(text.encode() + b"\n")
        except BrokenPipeError:
            on_lost("the server closed its input")

    async def _watch(self, process: AgentProcess, on_lost: Callable[[str], None]) -> None:
        await process.exited.wait()
        # The last answer may still be in the pipe. `_read` calls `on_lost` when it reaches the end.
        await anyio.sleep(_DRAIN_SECONDS)
        on_lost("the server exited")

    def _record_garbage(self, line: object) -> None:
        if isinstance(line, bytes) and line.strip() and not self._garbage:
            self._garbage.append(line)
            _log.warning("stdout_not_mcp", server=self._entry.name, line=repr(line[:200]))
