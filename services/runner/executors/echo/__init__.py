"""An executor without an agent, for trials and benchmarks."""

from services.runner.executors.echo.executor import EchoExecutor

__all__ = ["EchoExecutor"]
