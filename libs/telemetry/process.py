"""Starts and ends the process of a service."""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
import uvloop
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from libs.failpoints import FailpointSettings, arm
from libs.telemetry.logs import configure

_Settings = TypeVar("_Settings", bound=BaseSettings)
_log = structlog.get_logger(__name__)


def run_process(
    name: str, settings: Callable[..., _Settings], serve: Callable[[_Settings, asyncio.Event], Awaitable[None]]
) -> None:
    """Read the settings, serve until SIGTERM or SIGINT, and exit.

    The exit code is 0 after an orderly stop, 1 after a failure, and 2 for a setting that is missing or invalid. The
    log then names the variable and the rule.

    Collects garbage from here on, and not among the objects that the imports have created.
    """
    gc.freeze()
    gc.enable()
    try:
        read = settings()
        failpoints = FailpointSettings()
    except ValidationError as error:
        configure(name)
        for fault in error.errors(include_input=False, include_url=False):
            variable = ".".join(str(part) for part in fault["loc"]).upper()
            _log.error("setting_wrong", variable=variable, rule=fault["msg"])
        sys.exit(2)
    configure(name, getattr(read, "log_level", "info"))
    arm(failpoints)
    try:
        uvloop.run(_run(read, serve))
    except Exception:  # noqa: BLE001 - the process ends here; the log gets the whole error once
        _log.critical("process_failed", exc_info=True)
        sys.exit(1)


async def _run(settings: _Settings, serve: Callable[[_Settings, asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, stop)
    _log.info("stopped")
