"""Forwards a server's progress and log lines to the runner until the attempt ends."""

import json
from typing import Any

from mcp_types import LoggingMessageNotificationParams

from services.runner.executors.mcp.results import excerpt, json_safe
from services.runner.executors.ports import Reporter

_MAX_LOG = 8_000  # characters of JSON


class Reports:
    """The reports of one attempt. Compared by identity."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter: Reporter | None = reporter

    async def progress(self, progress: float, total: float | None, message: str | None) -> None:
        """Report progress. The SDK defines the signature."""
        if self._reporter is not None:
            numbers = json_safe([progress, total])
            self._reporter.progress(numbers[0] or 0.0, numbers[1], None if message is None else excerpt(message))

    def log(self, params: LoggingMessageNotificationParams) -> None:
        """Report a log line. A line that is too long is cut."""
        if self._reporter is None:
            return
        output: dict[str, Any] = {"kind": "log", "level": params.level, "data": json_safe(params.data)}
        if params.logger is not None:
            output["logger"] = excerpt(params.logger, 200)
        text = json.dumps(output["data"], ensure_ascii=False, default=str)
        if len(text) > _MAX_LOG:
            output["data"] = excerpt(text, _MAX_LOG)
        self._reporter.output(output)

    def end(self) -> None:
        """Drop later notifications: none may follow the command's last event."""
        self._reporter = None
