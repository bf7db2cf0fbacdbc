"""Executors connect to agents. The MCP executor is not re-exported, because importing its SDK is slow."""

from services.runner.executors.registry import ExecutorRegistry

__all__ = ["ExecutorRegistry"]
