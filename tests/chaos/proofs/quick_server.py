"""An MCP server over stdio that starts within a tenth of a second: it uses only the standard library.

    python -S -E quick_server.py EFFECTS

Its only tool, `hold`, takes {gates, stops, process, reports} and runs until its gate opens:

- `gates`: a file for each attempt, the last one for all further attempts. An attempt ends once its file exists. "" is
  an open gate. Without gates an attempt never ends by itself.
- `stops`: whether it ends when it is cancelled.
- `process`: whether it runs a process meanwhile, a child of the server in the server's group.
- `reports`: whether it reports progress, four times a second.

EFFECTS gets the lines of `tests.chaos.tool_server`, with `child`, the id of that process. The server leaves its
children behind when its input ends; its parent has to end them.
"""

import json
import os
import select
import signal
import sys
import time
from typing import Any

_POLL_SECONDS = 0.05
_REPORT_SECONDS = 0.25
_CHUNK = 1 << 16
_NO_SUCH_METHOD = -32601
TOOL = {
    "name": "hold",
    "inputSchema": {"type": "object"},
    "annotations": {"readOnlyHint": False, "idempotentHint": True, "openWorldHint": False},
}


class Call:
    """A running call of the tool."""

    def __init__(self, request: dict[str, Any], child: int) -> None:
        arguments, meta = request["params"].get("arguments") or {}, request["params"].get("_meta") or {}
        self.id = request["id"]
        self.command_id = meta.get("callboard/command-id")
        self.attempt = meta.get("callboard/attempt")
        self.mark = os.urandom(16).hex()
        self.child = child
        self.stops = bool(arguments.get("stops", True))
        gates = arguments.get("gates") or []
        self._gate = gates[min(int(self.attempt or 1), len(gates)) - 1] if gates else None
        self._token = meta.get("progressToken") if arguments.get("reports") else None
        self._steps = 0
        self._reported = time.monotonic()

    def may_end(self) -> bool:
        """Report whether its gate is open."""
        return self._gate is not None and (not self._gate or os.path.exists(self._gate))  # noqa: PTH110 - slow import

    def progress(self) -> dict[str, Any] | None:
        """Return the progress to report now, or None."""
        if self._token is None or time.monotonic() - self._reported < _REPORT_SECONDS:
            return None
        self._reported, self._steps = time.monotonic(), self._steps + 1
        return {"progressToken": self._token, "progress": self._steps, "message": self.mark}


class Server:
    """Reads requests and polls gates, in one thread."""

    def __init__(self, effects: str) -> None:
        self._effects = effects
        self._file = os.open(effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._calls: dict[Any, Call] = {}

    def serve(self) -> None:
        """Serve until the input ends."""
        rest = b""
        while True:
            ready, _, _ = select.select([0], [], [], _POLL_SECONDS if self._calls else None)
            if ready:
                if not (chunk := os.read(0, _CHUNK)):
                    return
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._receive(json.loads(line))
            for call in list(self._calls.values()):
                self._look(call)

    def _receive(self, message: dict[str, Any]) -> None:
        method, params = message.get("method"), message.get("params") or {}
        if method == "tools/call":
            self._begin(message)
        elif method == "notifications/cancelled":
            call = self._calls.get(params.get("requestId"))
            if call is not None and call.stops:
                self._end(call, "cancelled")
        elif method == "initialize":
            self._answer(
                message["id"], protocolVersion=params["protocolVersion"], capabilities={"tools": {}},
                serverInfo={"name": "quick", "version": "1"},
            )  # fmt: skip
        elif method == "tools/list":
            self._answer(message["id"], tools=[TOOL])
        elif method == "ping":
            self._answer(message["id"])
        elif "id" in message:
            self._send(id=message["id"], error={"code": _NO_SUCH_METHOD, "message": "no such method"})

    def _begin(self, request: dict[str, Any]) -> None:
        wants_process = (request["params"].get("arguments") or {}).get("process")
        call = self._calls[request["id"]] = Call(request, _sleeper(self._effects) if wants_process else 0)
        self._note(call, "start")

    def _look(self, call: Call) -> None:
        if call.may_end():
            self._end(call, "end")
            text = json.dumps({"mark": call.mark})
            self._answer(
                call.id, content=[{"type": "text", "text": text}], structuredContent={"mark": call.mark}, isError=False
            )
        elif progress := call.progress():
            self._send(method="notifications/progress", params=progress)

    def _end(self, call: Call, phase: str) -> None:
        del self._calls[call.id]
        if call.child:
            os.kill(call.child, signal.SIGKILL)
            os.waitpid(call.child, 0)
        self._note(call, phase)

    def _note(self, call: Call, phase: str) -> None:
        line = {
            "time": time.monotonic(), "tool": "hold", "phase": phase, "commandId": call.command_id,
            "attempt": call.attempt, "pid": os.getpid(), "mark": call.mark, "child": call.child,
        }  # fmt: skip
        os.write(self._file, json.dumps(line).encode() + b"\n")

    def _answer(self, request_id: Any, **result: Any) -> None:
        self._send(id=request_id, result=result)

    def _send(self, **message: Any) -> None:
        left = json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"
        while left:
            left = left[os.write(1, left) :]


def _sleeper(name: str) -> int:
    """Start a `sleep` with this name as its first argument, by which it can be found. Return its id."""
    nothing = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)]
    return os.posix_spawn("/bin/sleep", [name, "86400"], os.environ, file_actions=nothing)


if __name__ == "__main__":
    Server(sys.argv[1]).serve()
