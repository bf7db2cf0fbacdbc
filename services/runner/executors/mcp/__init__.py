"""Agents that are MCP servers, over stdio and streamable HTTP. Importing this costs a second (the SDK)."""

from services.runner.executors.mcp.executor import McpExecutor

__all__ = ["McpExecutor"]
