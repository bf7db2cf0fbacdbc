"""The stdio transport, over an agent process.

Not the SDK's `stdio_client`, which passes on HOME, USER and SHELL of the runner, leaves the process alive
when the runner is killed, shares the runner's stderr, buffers a line without end, and drops an answer whose
text is broken, so that its command would run into its timeout.
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
_QUEUE = 256  # messages towards a server that does not read; a cancellation must find room without waiting
_GARBAGE = 10_000  # lines without one message among them: this is no server
_LAST_WORDS = 0.25  # seconds for what a process wrote before it ended, when something else holds its pipe open


class StdioTransport:
    """A `Transport` to a server that is a process of this runner."""

    makes_closed_errors = False

    def __init__(self, entry: StdioEntry, mark: str) -> None:
        self.grace = 0.0
        self._entry = entry
        self._mark = mark
        self._process: AgentProcess | None = None
        self._garbage: list[bytes] = []

    def diagnosis(self) -> str:
        """Return how the process ended, the first line that was no message, and the end of its stderr."""
        if self._process is None:
            return "the process was not started"
        found = [f"process {self._process.pid} {self._process.status}"]
        found += [f"stdout had {line[:200]!r}" for line in self._garbage]
        if tail := self._process.stderr_tail():
            found.append(f"stderr ends {tail!r}")
        return "; ".join(found)

    @asynccontextmanager
    async def open(
        self, lose: Callable[[str], None]
    ) -> AsyncGenerator[
        tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]
    ]:
        """See `Transport`."""
        process = self._process = await AgentProcess.start(self._entry, self._mark)
        try:
            incoming, session_reads = anyio.create_memory_object_stream[SessionMessage | Exception](0)
            session_writes, outgoing = anyio.create_memory_object_stream[SessionMessage](_QUEUE)
            async with anyio.create_task_group() as tasks, session_reads, session_writes, incoming, outgoing:
                tasks.start_soon(self._read, process, incoming, lose)
                tasks.start_soon(self._write, process, outgoing, lose)
                tasks.start_soon(self._watch, process, lose)
                yield session_reads, session_writes
                tasks.cancel_scope.cancel()
        finally:
            await process.stop(self.grace)

    async def _read(self, process: AgentProcess, incoming: _Incoming, lose: Callable[[str], None]) -> None:
        lines, useless = frames.LineSplitter(), 0
        async with incoming:
            while useless < _GARBAGE and (chunk := await process.stdout.read(_CHUNK)):
                for line in lines.feed(chunk):
                    message = frames.parse(line) if isinstance(line, bytes) else line
                    if message is None:
                        useless += 1
                        self._note_garbage(line)
                        continue
                    useless = 0
                    try:
                        await incoming.send(SessionMessage(message))
                    except anyio.BrokenResourceError:
                        return  # the session was left while this was on its way
            lose("the server's output is no MCP" if useless >= _GARBAGE else "the server closed its output")

    async def _write(self, process: AgentProcess, outgoing: _Outgoing, lose: Callable[[str], None]) -> None:
        try:
            async for item in outgoing:
                text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                await process.stdin.write(text.encode() + b"\n")
        except BrokenPipeError:
            lose("the server closed its input")

    async def _watch(self, process: AgentProcess, lose: Callable[[str], None]) -> None:
        await process.exited.wait()
        # Its last answer may still be in the pipe; `_read` loses the connection when it has come to the end.
        await anyio.sleep(_LAST_WORDS)
        lose("the server ended")

    def _note_garbage(self, line: object) -> None:
        if isinstance(line, bytes) and line.strip() and not self._garbage:
            self._garbage.append(line)
            _log.warning("stdout_is_no_message", server=self._entry.name, line=repr(line[:200]))
