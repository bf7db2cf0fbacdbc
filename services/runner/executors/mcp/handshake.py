"""The start of a session with a server, and the server's description of itself."""

from collections.abc import Mapping
from typing import Any

from mcp import ClientSession, MCPError
from mcp_types import METHOD_NOT_FOUND, UNSUPPORTED_PROTOCOL_VERSION, Implementation

from services.runner.executors.mcp.results import json_safe
from services.runner.executors.mcp.tools import ToolCache

CLIENT = Implementation(name="callboard", version="0.1.0")


async def initialize(session: ClientSession) -> None:
    """Open the session with `initialize`, or with `discover` if the server supports only that. Raises SDK errors.

    `initialize` comes first because some older servers never answer an unknown method before it, and because a
    session opened by it also announces changes of the tools.
    """
    try:
        await session.initialize()
    except MCPError as error:
        if error.code not in {UNSUPPORTED_PROTOCOL_VERSION, METHOD_NOT_FOUND}:
            raise
        await session.discover()


def describe(name: str, session: ClientSession, tools: ToolCache) -> Mapping[str, Any]:
    """Return the server's name (default `name`), version, protocol, capabilities and tools, JSON-safe."""
    server, capabilities = session.server_info, session.server_capabilities
    described: Mapping[str, Any] = json_safe(
        {
            "name": server.name if server else name,
            "version": server.version if server else "",
            "protocolVersion": session.protocol_version,
            "capabilities": capabilities.model_dump(by_alias=True, mode="json", exclude_none=True)
            if capabilities
            else {},
            "tools": tools.names(),
            "toolsDigest": tools.digest(),
        }
    )
    return described
