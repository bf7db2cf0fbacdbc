"""What comes of a piece of work: its refusal, its duration, or all outcomes of many at once."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from callboard import CallboardError


@contextlib.contextmanager
def refused(reason: str) -> Any:
    """Expects a refusal for this reason; the caught error is what it yields."""
    with pytest.raises(CallboardError) as caught:
        yield caught
    assert caught.value.reason == reason, caught.value


async def all_of(*work: Awaitable[Any]) -> list[Any]:
    """The outcomes of what runs at once, refusals among them."""
    return await asyncio.gather(*work, return_exceptions=True)


async def all_at_once(count: int, work: Callable[[int], Awaitable[Any]]) -> list[Any]:
    """Does some work so many times at once; refusals are among the outcomes."""
    return await asyncio.gather(*(work(number) for number in range(count)), return_exceptions=True)


async def timed(work: Awaitable[Any]) -> tuple[Any, float]:
    """The result of some work, and the seconds that it took."""
    began = time.monotonic()
    return await work, time.monotonic() - began
