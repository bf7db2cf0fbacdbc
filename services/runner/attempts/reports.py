"""Progress and output of one attempt, folded to ten events a second."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

import orjson
import structlog

from libs.attempts import Report
from libs.errors import ServiceError

_log = structlog.get_logger(__name__)

_EVERY = 0.1
_OUTPUTS = 100
_OUTPUT_BYTES = 64 * 1024


class AttemptReporter:
    """Keeps the latest progress and the outputs until the next report goes out; never blocks the execution."""

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
        self._closed = False
        self.used = False
        """Whether anything was reported."""

    def progress(self, progress: float, total: float | None, message: str | None) -> None:
        """Report progress; only the latest of each tenth of a second is kept."""
        value = {"progress": progress, "total": total, "message": message}
        self._progress = orjson.dumps(value).decode()
        self._soon()

    def output(self, output: Mapping[str, Any]) -> None:
        """Report a piece of output; what is too much for a tenth of a second is counted and left out."""
        text = orjson.dumps(output, default=str).decode()
        if len(self._outputs) >= _OUTPUTS or len(text) > _OUTPUT_BYTES:
            self._dropped += 1
        else:
            self._outputs.append(text)
        self._soon()

    async def close(self) -> None:
        """Send what is left, before the attempt's end is written."""
        self._closed = True
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        await self._flush()

    def _soon(self) -> None:
        self.used = True
        if self._sending is None and not self._closed:
            self._sending = asyncio.get_running_loop().create_task(self._loop(), name=f"reports {self._command_id}")

    async def _loop(self) -> None:
        try:
            while self._progress or self._outputs or self._dropped:
                await asyncio.shield(self._flush())
                await asyncio.sleep(_EVERY)
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
            held = await asyncio.gather(*(self._send(report) for report in reports))
        except ServiceError as error:
            # Whether they were stored is not known, and no report comes twice: their number is told in their place.
            self._dropped += outputs
            _log.warning("reports_failed", reason=error.reason, outputs=outputs)
            return
        if not all(held):
            self._on_fenced()

    def _report(self, type_: str, payload: str, progress: str | None) -> Report:
        return Report(self._command_id, self._token, type_, payload, self._actor, progress)
