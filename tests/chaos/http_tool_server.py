"""The tool server over streamable HTTP. It answers incorrectly while a file names a fault.

    python -m tests.chaos.http_tool_server OUT FAULT_FILE PORT

OUT is the folder for the effects. FAULT_FILE contains the name of the fault, and does not exist without a fault. A
request to the target of the redirects is an effect of the phase `followed`: no client may send one.
"""

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.chaos.tool_server import Effects, make_server

_HOST, _ELSEWHERE = "127.0.0.1", "127.0.0.2"
_POLL = 0.1  # seconds
_BREAK = "break"


class BadAnswers:
    """Middleware that replaces or breaks the answers of the real server."""

    def __init__(self, app: ASGIApp, fault_file: Path, elsewhere: str, effects: Effects) -> None:
        self._app = app
        self._file = fault_file
        self._elsewhere = elsewhere
        self._effects = effects
        self._answers: dict[str, Callable[[Send], Awaitable[None]]] = {
            "429": lambda send: _answer(send, 429),
            "500": lambda send: _answer(send, 500),
            "redirect": lambda send: _answer(send, 307, self._elsewhere),
            "hang": self._hang,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = self._fault() if scope["type"] == "http" else ""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["server"][0] == _ELSEWHERE:
            self._effects.note("followed", {}, "")
            await _answer(send, 200)
        elif scope["path"] == "/healthz":
            await _answer(send, 200)
        elif fault == _BREAK:
            await self._app(scope, receive, _Torn(send))
        elif fault:
            await self._answers[fault](send)
        else:
            await self._app(scope, receive, send)

    def _fault(self) -> str:
        try:
            return self._file.read_text()
        except FileNotFoundError:
            return ""

    async def _hang(self, send: Send) -> None:
        """Answer only after the fault. The request is never carried out, because its session may have ended."""
        while self._fault() == "hang":  # noqa: ASYNC110 - another process changes the file
            await asyncio.sleep(_POLL)
        await _answer(send, 503)


class _Torn:
    """Sends the first half of an answer's first chunk, then ends the connection."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        body = message.get("body", b"")
        await self._send({**message, "body": body[: len(body) // 2], "more_body": True})
        raise ConnectionAbortedError("broken off on purpose")


async def _answer(send: Send, status: int, location: str = "") -> None:
    headers = [(b"content-length", b"0"), *([(b"location", location.encode())] if location else [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def serve(out: Path, fault_file: Path, port: int) -> None:
    """Serve until killed."""
    elsewhere = socket.create_server((_ELSEWHERE, 0))
    effects = Effects(out / "effects.jsonl")
    url = f"http://{_ELSEWHERE}:{elsewhere.getsockname()[1]}/mcp"
    app = BadAnswers(make_server(effects).streamable_http_app(), fault_file, url, effects)
    config = uvicorn.Config(app, log_level="critical")
    await uvicorn.Server(config).serve(sockets=[socket.create_server((_HOST, port)), elsewhere])


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
