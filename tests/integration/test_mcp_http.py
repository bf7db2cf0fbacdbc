"""Streamable HTTP with servers that reject, redirect, drop sessions, break off answers and die."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import structlog

from libs.attempts import (
    AttemptFailedError,
    Failure,
    FailureCode,
)
from services.runner.executors.mcp.connection import McpConnection
from services.runner.executors.ports import Connector
from tests.support.eventually import eventually
from tests.support.mcp_servers import (
    SESSION,
    Recorder,
    connected,
    executor,
    failure_of,
    text_of,
    tool,
    trial_over_http,
)

LOST, UNAVAILABLE = FailureCode.CONNECTION_LOST, FailureCode.AGENT_UNAVAILABLE
READS = {"readOnlyHint": True}


class FakeServer(ThreadingHTTPServer):
    """A minimal MCP server. A tool whose name is a number answers with that HTTP status."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.reject_all: int | None = None
        self.ended = 0
        self.release = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/mcp"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeServer

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self.reply(405)

    def do_DELETE(self) -> None:
        self.server.ended += 1
        self.reply(200)

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.server.reject_all:
            self.reply(self.server.reject_all)
        elif "id" not in request:
            self.reply(202)
        elif request["method"] == "initialize":
            information = {"name": "fake", "version": "1"}
            result = {"protocolVersion": "2025-06-18", "serverInfo": information}
            self.answer(request, result | {"capabilities": {"tools": {}}})
        elif request["method"] == "tools/list":
            names = ("429", "500", "503", "403", "404", "307", "204", "garbage", "break", "hang", "echo")
            schema = {"type": "object"}
            tools = [{"name": name, "inputSchema": schema, "annotations": READS} for name in names]
            self.answer(request, {"tools": tools})
        else:
            self.call(request, request["params"]["name"])

    def call(self, request: dict[str, Any], name: str) -> None:
        if name.isdigit():
            self.reply(int(name), location="http://169.254.169.254/latest")
        elif name == "garbage":
            self.reply(200, b"<html>")
        elif name == "break":
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            self.close_connection = True
        elif name == "hang":
            self.server.release.wait(30)
            self.close_connection = True
        else:
            self.answer(request, {"content": [{"type": "text", "text": name}]})

    def answer(self, request: dict[str, Any], result: dict[str, Any]) -> None:
        self.reply(200, json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode())

    def reply(self, status: int, body: bytes = b"", location: str | None = None) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("mcp-session-id", "s-1")
        self.send_header("content-length", str(len(body)))
        if location:
            self.send_header("location", location)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        thread = threading.Thread(target=fake.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield fake
        fake.release.set()
        fake.shutdown()
        thread.join()


@pytest.fixture
async def fake(server: FakeServer, tmp_path: Path) -> AsyncIterator[McpConnection]:
    async with connected(tmp_path, {"transport": "http", "url": server.url}) as connection:
        yield connection


async def error_of(folder: Path, url: str, **more: Any) -> Failure:
    mcp = executor(folder, one={"transport": "http", "url": url} | more)
    with pytest.raises(AttemptFailedError) as caught:
        await mcp.connect(SESSION, Connector("mcp", "one"))
    return caught.value.failure


async def works(connection: McpConnection) -> bool:
    return text_of(await connection.execute(tool("echo"), Recorder())) == "echo"


@pytest.mark.parametrize(
    ("name", "code", "retried"),
    [
        ("429", UNAVAILABLE, "retried"),
        ("503", UNAVAILABLE, "retried"),
        ("403", UNAVAILABLE, "final"),
        ("500", FailureCode.AGENT_PROTOCOL_ERROR, "retried"),  # the tool only reads
        ("307", FailureCode.AGENT_PROTOCOL_ERROR, "retried"),
        ("204", FailureCode.AGENT_PROTOCOL_ERROR, "retried"),
        ("garbage", FailureCode.AGENT_PROTOCOL_ERROR, "retried"),
    ],
)
async def test_error_status_fails_only_its_command(
    fake: McpConnection, name: str, code: FailureCode, retried: str
) -> None:
    failure = await failure_of(fake, tool(name))
    assert (failure.code, failure.retryable) == (code, retried == "retried")
    assert not fake.lost.is_set()
    assert await works(fake)


async def test_server_that_dropped_the_session_is_lost(fake: McpConnection) -> None:
    failure = await failure_of(fake, tool("404"))
    assert (failure.code, failure.retryable) == (LOST, True)
    assert fake.lost.is_set()


async def test_broken_off_answer_loses_the_connection(fake: McpConnection) -> None:
    failure = await failure_of(fake, tool("break"))
    assert (failure.code, failure.retryable, failure.charged) == (LOST, True, True)
    assert fake.lost.is_set()


async def test_next_command_detects_the_death_of_an_idle_server(tmp_path: Path) -> None:
    with trial_over_http(tmp_path) as (url, process):
        async with connected(tmp_path, {"transport": "http", "url": url}) as connection:
            process.kill()
            process.wait()
            failure = await failure_of(connection, tool("echo", {"text": "a"}))
            assert (failure.code, failure.retryable) == (LOST, True)
            assert connection.lost.is_set()


@pytest.mark.parametrize("others", [0, 2])
async def test_server_that_dies_during_a_command_is_lost_at_once(tmp_path: Path, others: int) -> None:
    with trial_over_http(tmp_path) as (url, _):
        async with connected(tmp_path, {"transport": "http", "url": url}) as connection:
            beside = [
                asyncio.create_task(failure_of(connection, tool("sleep", {"seconds": 60}))) for _ in range(others)
            ]
            effects = tmp_path / "effects"
            await eventually(lambda: effects.exists() and effects.read_text().count("\n") == others)
            failures = [await failure_of(connection, tool("crash")), *await asyncio.gather(*beside)]
    found = [(failure.code, failure.retryable, failure.charged) for failure in failures]
    assert found == [(LOST, True, others == 0)] * (1 + others)


async def test_close_ends_the_session_at_the_server(tmp_path: Path, server: FakeServer) -> None:
    async with connected(tmp_path, {"transport": "http", "url": server.url}):
        assert server.ended == 0
    assert server.ended == 1


async def test_hanging_server_delays_neither_timeout_nor_close(tmp_path: Path, server: FakeServer) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with connected(tmp_path, {"transport": "http", "url": server.url}, grace=0.5) as connection:
        running = asyncio.create_task(failure_of(connection, tool("hang")))
        failure = await failure_of(connection, tool("hang", timeout=0.2))
        assert failure.code is FailureCode.COMMAND_TIMEOUT
    failure = await running
    assert (failure.code, failure.charged) == (LOST, False)
    assert loop.time() - started < 3


@pytest.mark.parametrize("status", [401, 404, 429, 500, 302])
async def test_server_that_rejects_the_session_is_unavailable(tmp_path: Path, server: FakeServer, status: int) -> None:
    server.reject_all = status
    with structlog.testing.capture_logs() as logs:
        failure = await error_of(tmp_path, server.url)
    assert (failure.code, failure.retryable) == (UNAVAILABLE, True)
    assert "127.0.0.1" not in failure.message
    assert f"{server.url} returned status {status}" in logs[-1]["diagnosis"]


async def test_server_at_an_unused_port_is_unavailable(tmp_path: Path) -> None:
    failure = await error_of(tmp_path, "http://127.0.0.1:1/mcp", startup_timeout=5)
    assert (failure.code, failure.retryable) == (UNAVAILABLE, True)
    assert [task for task in asyncio.all_tasks() if "mcp connection" in task.get_name()] == []


async def test_proxies_of_the_environment_are_ignored(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    async with connected(tmp_path, {"transport": "http", "url": server.url}) as connection:
        assert await works(connection)
