"""Logs, metrics and supervised background tasks of a process."""

from libs.telemetry.logs import configure
from libs.telemetry.metrics import MetricsServer, new_registry
from libs.telemetry.tasks import TaskDiedError, TaskWatch

__all__ = ["MetricsServer", "TaskDiedError", "TaskWatch", "configure", "new_registry"]
