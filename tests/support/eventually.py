"""Waits until a condition holds, instead of sleeping."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

Result = TypeVar("Result")
_FIRST_WAIT, _LONGEST_WAIT = 0.005, 0.1


@overload
async def eventually(check: Callable[[], Awaitable[Result]], timeout: float = ...) -> Result: ...  # noqa: ASYNC109
@overload
async def eventually(check: Callable[[], Result], timeout: float = ...) -> Result: ...  # noqa: ASYNC109
async def eventually(check: Callable[[], Result | Awaitable[Result]], timeout: float = 10.0) -> Result:  # noqa: ASYNC109
    """Calls `check` (plain or async) until its result is true, and returns that.

    After `timeout` seconds, raises the last AssertionError, or one that shows the last result.
    """
    deadline, wait = time.monotonic() + timeout, _FIRST_WAIT
    while True:
        failure: AssertionError | None = None
        try:
            result = check()
            value = await result if inspect.isawaitable(result) else result
            if value:
                return value
        except AssertionError as error:
            failure, value = error, None
        if time.monotonic() > deadline:
            raise failure or AssertionError(f"not within {timeout:g} s; last seen: {value!r}")
        await asyncio.sleep(wait)
        wait = min(_LONGEST_WAIT, wait * 2)
