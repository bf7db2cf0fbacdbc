"""Passes a server's progress and log lines on to the runner while an attempt lasts, no longer."""

import json
from typing import Any

from mcp_types import LoggingMessageNotificationParams

from services.runner.executors.mcp.results import excerpt, json_safe
from services.runner.executors.ports import Reporter

_LONGEST_LOG = 8_000  # characters of JSON


class Reports:
    """The reports of one attempt. Compared by identity."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter: Reporter | None = reporter

    async def progress(self, progress: float, total: float | None, message: str | None) -> None:
        """Report progress; the signature is the SDK's."""
        if self._reporter is not None:
            numbers = json_safe([progress, total])
            self._reporter.progress(numbers[0] or 0.0, numbers[1], None if message is None else excerpt(message))

    def log(self, params: LoggingMessageNotificationParams) -> None:
        """Report a log line; one that is too long keeps its beginning."""
        if self._reporter is None:
            return
        output: dict[str, Any] = {"kind": "log", "level": params.level, "data": json_safe(params.data)}
        if params.logger is not None:
            output["logger"] = excerpt(params.logger, 200)
        text = json.dumps(output["data"], ensure_ascii=False, default=str)
        if len(text) > _LONGEST_LOG:
            output["data"] = excerpt(text, _LONGEST_LOG)
        self._reporter.output(output)

    def end(self) -> None:
        """Drop whatever comes from now on: a late notification must not follow the command's last event."""
        self._reporter = None
