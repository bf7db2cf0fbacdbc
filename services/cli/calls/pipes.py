"""Standard output that is a pipe, such as that of `callboard call ... | head`."""

import asyncio
import os
import stat
import sys
from collections.abc import Coroutine
from typing import Any


async def run_while_read(work: Coroutine[Any, Any, None]) -> None:
    """Do the work until it ends, or until nobody reads standard output any more: then raises BrokenPipeError.

    A stream may say nothing for long; a write alone would find out late.
    """
    task = asyncio.ensure_future(work)
    output = sys.stdout.fileno()
    is_pipe = stat.S_ISFIFO(os.fstat(output).st_mode)
    loop, is_closed = asyncio.get_running_loop(), False

    def stop() -> None:
        nonlocal is_closed
        is_closed = True
        loop.remove_reader(output)
        task.cancel()

    if is_pipe:
        loop.add_reader(output, stop)  # the end that writes becomes readable when the other end is closed
    try:
        await task
    except asyncio.CancelledError:
        if is_closed:
            raise BrokenPipeError from None
        raise
    finally:
        if is_pipe:
            loop.remove_reader(output)
