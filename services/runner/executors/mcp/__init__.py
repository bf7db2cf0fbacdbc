"""The executor for MCP servers, over stdio and streamable HTTP. Importing it takes a second, because of the SDK."""

from services.runner.executors.mcp.executor import McpExecutor

__all__ = ["McpExecutor"]
