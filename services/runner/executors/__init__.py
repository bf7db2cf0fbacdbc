"""What talks to agents. The MCP executor is not re-exported: only the runner pays for its SDK."""

from services.runner.executors.registry import ExecutorRegistry

__all__ = ["ExecutorRegistry"]
