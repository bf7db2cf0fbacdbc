"""What a server said of its tools: listed at connect, kept, listed again when it changed."""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcp import ClientSession
from mcp_types import PaginatedRequestParams, Tool

from libs.attempts import FailureCode
from services.runner.executors.failures import failed
from services.runner.executors.mcp.results import excerpt
from services.runner.executors.mcp.schemas import ArgumentSchema

_MOST_PAGES = 100  # a paginator that never ends must not hang a connection


@dataclass(frozen=True, slots=True)
class KnownTool:
    """One tool: what it takes, and whether calling it twice does no harm."""

    tool: Tool
    schema: ArgumentSchema

    @property
    def repeatable(self) -> bool:
        """Whether the tool says that it only reads, or that a second call changes nothing more."""
        notifications = self.tool.annotations
        return notifications is not None and bool(notifications.read_only_hint or notifications.idempotent_hint)


class ToolCache:
    """The tools of one connection."""

    def __init__(self, session: ClientSession) -> None:
        """`session` has been opened: a server that says it has no tools is never asked for them."""
        self._session = session
        capabilities = session.server_capabilities
        self._offered = capabilities is not None and capabilities.tools is not None
        self._known: dict[str, KnownTool] = {}
        self._fresh = False
        self._listing = asyncio.Lock()
        self._listings = 0

    def expire(self) -> None:
        """Have the tools listed again before the next use (`notifications/tools/list_changed`)."""
        self._fresh = False

    async def all(self) -> list[Tool]:
        """Return all tools. Raises what the SDK's session raises."""
        if not self._fresh:
            await self._list(self._listings)
        return [known.tool for known in self._known.values()]

    async def find(self, name: str) -> KnownTool:
        """Return the tool; an unknown name has them listed once more before it is TOOL_NOT_FOUND."""
        seen = self._listings
        if self._fresh and name in self._known:
            return self._known[name]
        await self._list(seen)
        if name not in self._known:
            raise failed(
                FailureCode.TOOL_NOT_FOUND,
                f"the agent has no tool {excerpt(name, 200)!r}",
                tool=excerpt(name, 200),
            )
        return self._known[name]

    def names(self) -> list[str]:
        """Return the names, sorted, as of the last listing."""
        return sorted(self._known)

    def digest(self) -> str:
        """Hash names, descriptions and schemas, so that a change of what was once approved can be seen."""
        told = [
            [tool.tool.name, tool.tool.description, tool.tool.input_schema] for _, tool in sorted(self._known.items())
        ]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    async def _list(self, seen: int) -> None:
        """List them, unless another did since `seen`."""
        async with self._listing:
            if self._listings != seen and self._fresh:
                return
            self._fresh = True  # before the call: a change while it runs must not be forgotten
            try:
                tools = await self._fetch() if self._offered else []
            except BaseException:
                self._fresh = False
                raise
            self._known = {tool.name: self._remember(tool) for tool in tools}
            self._listings += 1

    async def _fetch(self) -> list[Tool]:
        tools: list[Tool] = []
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = await self._session.list_tools(params=PaginatedRequestParams(cursor=cursor) if cursor else None)
            tools += page.tools
            cursor = page.next_cursor
            if cursor is None:
                break
        return tools

    def _remember(self, tool: Tool) -> KnownTool:
        before = self._known.get(tool.name)
        if before is not None and before.tool.input_schema == tool.input_schema:
            return KnownTool(tool, before.schema)
        return KnownTool(tool, ArgumentSchema(tool.name, tool.input_schema))


def described(tool: Tool) -> Mapping[str, Any]:
    """Return a tool as JSON, as MCP spells it."""
    return tool.model_dump(by_alias=True, mode="json", exclude_none=True)
