"""Errors, durations and concurrent results of calls."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from callboard import CallboardError


@contextlib.contextmanager
def rejected(reason: str) -> Any:
    """Expects an error with this reason, and yields the caught error."""
    with pytest.raises(CallboardError) as caught:
        yield caught
    assert caught.value.reason == reason, caught.value


async def all_of(*work: Awaitable[Any]) -> list[Any]:
    """Runs work concurrently and returns all results. Errors are among them."""
    return await asyncio.gather(*work, return_exceptions=True)


async def all_at_once(count: int, work: Callable[[int], Awaitable[Any]]) -> list[Any]:
    """Runs `work` `count` times concurrently and returns all results. Errors are among them."""
    return await asyncio.gather(*(work(number) for number in range(count)), return_exceptions=True)


async def timed(work: Awaitable[Any]) -> tuple[Any, float]:
    """The result of some work, and its duration in seconds."""
    began = time.monotonic()
    return await work, time.monotonic() - began
