"""Logs: one line of JSON for each event, on stdout, without secrets."""

import logging
import sys
from typing import Any, BinaryIO, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from libs.telemetry.redaction import redacted


def configure(service: str, level: str = "info") -> None:
    """Write all logs of the process, structlog's and the standard library's, to stdout from `level` on.

    Every line has the values that are bound in structlog's contextvars (`request_id`, `session_id`, `command_id`,
    `tenant`). Raises ValueError for an unknown level.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"there is no log level {level!r}")
    shared = _shared(service)
    structlog.configure(
        processors=[*shared, _render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.BytesLoggerFactory(_binary(sys.stdout)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _render_text],
        )
    )
    logging.basicConfig(level=number, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)


def _shared(service: str) -> list[Processor]:
    def name_service(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        name_service,
        structlog.processors.format_exc_info,
        _redact,  # last, because tracebacks can hold secrets too
    ]


def _redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    return {name: redacted(name, value) for name, value in event.items()}


def _render(logger: WrappedLogger, method: str, event: EventDict) -> bytes:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS)


def _render_text(logger: WrappedLogger, method: str, event: EventDict) -> str:
    return _render(logger, method, event).decode()


def _binary(stream: TextIO) -> BinaryIO:
    """Return the binary stream under a text stream. Its lines do not mix: each is flushed at once."""
    binary: Any = stream.buffer
    return binary  # type: ignore[no-any-return]
