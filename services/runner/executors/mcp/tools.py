"""The tools of a server: listed when it is connected, cached, and listed again after a change."""

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

_MAX_PAGES = 100  # an endless list must not block the connection


@dataclass(frozen=True, slots=True)
class KnownTool:
    """One tool: its input schema, and whether it is safe to call it twice."""

    tool: Tool
    schema: ArgumentSchema

    @property
    def repeatable(self) -> bool:
        """Whether the tool is annotated as read-only or idempotent."""
        hints = self.tool.annotations
        return hints is not None and bool(hints.read_only_hint or hints.idempotent_hint)


class ToolCache:
    """The tools of one connection."""

    def __init__(self, session: ClientSession) -> None:
        """Create an empty cache for an initialized session. A server without the tools capability is never queried."""
        self._session = session
        capabilities = session.server_capabilities
        self._offered = capabilities is not None and capabilities.tools is not None
        self._known: dict[str, KnownTool] = {}
        self._fresh = False
        self._listing = asyncio.Lock()
        self._listings = 0

    def expire(self) -> None:
        """List the tools again before the next use (`notifications/tools/list_changed`)."""
        self._fresh = False

    async def all(self) -> list[Tool]:
        """Return all tools. Raises errors of the SDK."""
        if not self._fresh:
            await self._list(self._listings)
        return [known.tool for known in self._known.values()]

    async def find(self, name: str) -> KnownTool:
        """Return a tool. If the name is unknown, list the tools once more before raising TOOL_NOT_FOUND."""
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
        """Return the names in the last listing, sorted."""
        return sorted(self._known)

    def digest(self) -> str:
        """Return a hash of names, descriptions and schemas, which shows whether approved tools have changed."""
        approved = [
            [tool.tool.name, tool.tool.description, tool.tool.input_schema] for _, tool in sorted(self._known.items())
        ]
        return hashlib.sha256(json.dumps(approved, sort_keys=True).encode()).hexdigest()

    async def _list(self, seen: int) -> None:
        """List the tools, unless another task has listed them since `seen`."""
        async with self._listing:
            if self._listings != seen and self._fresh:
                return
            self._fresh = True  # set before the call, so that a change during it expires the listing
            try:
                tools = await self._fetch() if self._offered else []
            except BaseException:
                self._fresh = False
                raise
            self._known = {tool.name: self._known_tool(tool) for tool in tools}
            self._listings += 1

    async def _fetch(self) -> list[Tool]:
        tools: list[Tool] = []
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            page = await self._session.list_tools(params=PaginatedRequestParams(cursor=cursor) if cursor else None)
            tools += page.tools
            cursor = page.next_cursor
            if cursor is None:
                break
        return tools

    def _known_tool(self, tool: Tool) -> KnownTool:
        previous = self._known.get(tool.name)
        if previous is not None and previous.tool.input_schema == tool.input_schema:
            return KnownTool(tool, previous.schema)
        return KnownTool(tool, ArgumentSchema(tool.name, tool.input_schema))


def described(tool: Tool) -> Mapping[str, Any]:
    """Return a tool as JSON, as MCP spells it."""
    return tool.model_dump(by_alias=True, mode="json", exclude_none=True)
