"""What commands and listings make of a server's answers, with a server in memory."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from mcp import ClientSession
from mcp_types import (
    InputRequiredResult,
    ListPromptsResult,
    ListToolsResult,
    LoggingMessageNotificationParams,
    PaginatedRequestParams,
    Prompt,
    Tool,
)

from libs.attempts import AttemptFailedError, Failure, FailureCode
from services.runner.executors.mcp import commands, tools
from services.runner.executors.mcp.commands import COMMANDS, McpAttempt
from services.runner.executors.mcp.http import Exchange
from services.runner.executors.mcp.reports import Reports
from services.runner.executors.mcp.tools import ToolCache
from tests.support.mcp_servers import Recorder, command


class Server:
    """A session with a server that has one tool and one prompt on each of `pages` pages, and asks for input."""

    server_capabilities = SimpleNamespace(tools=SimpleNamespace())

    def __init__(self, pages: int = 1) -> None:
        self.pages = pages
        self.listings = 0

    async def list_tools(self, *, params: PaginatedRequestParams | None) -> ListToolsResult:
        page = self._page(params)
        await asyncio.sleep(0)  # as for a real server's answer, so that others can ask meanwhile
        found = Tool(name=f"tool {page}", input_schema={"type": "object"})
        return ListToolsResult(tools=[found], next_cursor=self._next(page))

    async def list_prompts(self, *, params: PaginatedRequestParams | None) -> ListPromptsResult:
        page = self._page(params)
        return ListPromptsResult(prompts=[Prompt(name=f"prompt {page}")], next_cursor=self._next(page))

    async def call_tool(self, *_: object, **__: object) -> InputRequiredResult:
        return InputRequiredResult(request_state="?")

    async def read_resource(self, *_: object, **__: object) -> InputRequiredResult:
        return InputRequiredResult(request_state="?")

    async def get_prompt(self, *_: object, **__: object) -> InputRequiredResult:
        return InputRequiredResult(request_state="?")

    def cache(self) -> ToolCache:
        """The tools of the server."""
        return ToolCache(cast(ClientSession, self))

    def _page(self, params: PaginatedRequestParams | None) -> int:
        self.listings += 1
        return int(params.cursor) if params is not None and params.cursor else 1

    def _next(self, page: int) -> str | None:
        return str(page + 1) if page < self.pages else None


async def failure_of(server: Server, type_: str, params: dict[str, Any]) -> Failure:
    """Runs a command that must fail, and returns its failure."""
    attempt = McpAttempt(
        execution=command(type_, params), session=cast(ClientSession, server), tools=server.cache(),
        progress=Reports(Recorder()).progress, exchange=Exchange(), explain=lambda _: None,
    )  # fmt: skip
    with pytest.raises(AttemptFailedError) as caught:
        await COMMANDS[type_](attempt)
    return caught.value.failure


@pytest.mark.parametrize(
    ("type_", "params"),
    [
        ("run_tool", {"tool": "tool 1"}),
        ("read_resource", {"uri": "file:///a"}),
        ("get_prompt", {"name": "prompt 1"}),
    ],
)
async def test_server_that_asks_for_input_fails_the_command_for_good(type_: str, params: dict[str, Any]) -> None:
    failure = await failure_of(Server(), type_, params)
    assert (failure.code, failure.retryable) == (FailureCode.AGENT_PROTOCOL_ERROR, False)
    assert "asks for input" in failure.message


async def test_tools_and_prompts_are_found_on_later_pages() -> None:
    assert [tool.name for tool in await Server(pages=3).cache().all()] == ["tool 1", "tool 2", "tool 3"]
    found = await failure_of(Server(pages=3), "get_prompt", {"name": "prompt 3"})
    assert "asks for input" in found.message


async def test_endless_lists_are_read_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_MAX_PAGES", 5)
    monkeypatch.setattr(tools, "_MAX_PAGES", 5)
    server = Server(pages=1_000_000)
    assert len(await server.cache().all()) == 5
    assert (await failure_of(server, "get_prompt", {"name": "prompt 9"})).code == FailureCode.TOOL_NOT_FOUND
    assert server.listings == 10


async def test_commands_with_unknown_tools_share_one_listing() -> None:
    server = Server()
    cache = server.cache()
    await cache.all()
    failures = await asyncio.gather(*(cache.find("unknown") for _ in range(10)), return_exceptions=True)
    assert [cast(AttemptFailedError, each).failure.code for each in failures] == [FailureCode.TOOL_NOT_FOUND] * 10
    assert server.listings == 2


async def test_log_line_is_reported_with_its_logger_and_cut_when_it_is_too_long() -> None:
    recorder = Recorder()
    reports = Reports(recorder)
    reports.log(LoggingMessageNotificationParams(level="info", logger="disk", data={"free": 3}))
    reports.log(LoggingMessageNotificationParams(level="error", data="x" * 9000))
    named, cut = recorder.outputs
    assert named == {"kind": "log", "level": "info", "logger": "disk", "data": {"free": 3}}
    assert "logger" not in cut
    assert len(cut["data"]) < 8100


async def test_nothing_is_reported_after_the_attempt_has_ended() -> None:
    recorder = Recorder()
    reports = Reports(recorder)
    await reports.progress(1, 2, None)
    reports.end()
    await reports.progress(2, 2, None)
    reports.log(LoggingMessageNotificationParams(level="info", data="late"))
    assert (recorder.steps, recorder.outputs) == ([(1, 2, None)], [])
