"""Progress and output of one attempt, limited to ten reports a second."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

import orjson
import structlog

from libs.attempts import Report
from libs.errors import ServiceError

_log = structlog.get_logger(__name__)

_INTERVAL = 0.1  # seconds
_MAX_OUTPUTS = 100
_MAX_OUTPUT_CHARACTERS = 64 * 1024


class AttemptReporter:
    """Buffers the latest progress and the outputs until the next report. Never blocks the execution."""

    def __init__(
        self, command_id: UUID, token: UUID, actor: str, send: Callable[[Report], Awaitable[bool]],
        on_fenced: Callable[[], None],
    ) -> None:  # fmt: skip
        self._command_id = command_id
        self._token = token
        self._actor = actor
        self._send = send
        self._on_fenced = on_fenced
        self._progress: str | None = None
        self._outputs: list[str] = []
        self._dropped = 0
        self._sending: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self.used = False
        """Whether anything was reported."""

    def progress(self, progress: float, total: float | None, message: str | None) -> None:
        """Report progress. Only the latest value of each interval is sent."""
        value = {"progress": progress, "total": total, "message": message}
        self._progress = orjson.dumps(value).decode()
        self._schedule()

    def output(self, output: Mapping[str, Any]) -> None:
        """Report a piece of output. Output beyond the limits of an interval is dropped and counted."""
        text = orjson.dumps(output, default=str).decode()
        if len(self._outputs) >= _MAX_OUTPUTS or len(text) > _MAX_OUTPUT_CHARACTERS:
            self._dropped += 1
        else:
            self._outputs.append(text)
        self._schedule()

    async def close(self) -> None:
        """Send what is still buffered, before the end of the attempt is written.

        Reports that are on their way arrive first. Otherwise an older progress could replace the last one.
        """
        self._closing.set()
        if self._sending is not None:
            await asyncio.wait([self._sending])
        await self._flush()

    def _schedule(self) -> None:
        self.used = True
        if self._sending is None and not self._closing.is_set():
            self._sending = asyncio.get_running_loop().create_task(self._loop(), name=f"reports {self._command_id}")

    async def _loop(self) -> None:
        try:
            while not self._closing.is_set() and (self._progress or self._outputs or self._dropped):
                await self._flush()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_INTERVAL):
                        await self._closing.wait()
        finally:
            self._sending = None

    async def _flush(self) -> None:
        reports = []
        if self._progress:
            reports.append(self._report("command.progress", self._progress, self._progress))
        reports += [self._report("command.output", text, None) for text in self._outputs]
        if self._dropped:
            reports.append(self._report("command.output", f'{{"dropped":{self._dropped}}}', None))
        outputs = len(self._outputs) + self._dropped
        self._progress, self._outputs, self._dropped = None, [], 0
        try:
            lease_held = await asyncio.gather(*(self._send(report) for report in reports))
        except ServiceError as error:
            # The reports may have been stored. A retry could repeat them, so only their number is reported later.
            self._dropped += outputs
            _log.warning("reports_failed", reason=error.reason, outputs=outputs)
            return
        if not all(lease_held):
            self._on_fenced()

    def _report(self, type_: str, payload: str, progress: str | None) -> Report:
        return Report(self._command_id, self._token, type_, payload, self._actor, progress)
