"""Ends work when the reader of standard output goes away, as in `callboard call ... | head`."""

import asyncio
import os
import stat
import sys
from collections.abc import Coroutine
from typing import Any


async def run_while_read(work: Coroutine[Any, Any, None]) -> None:
    """Run the work to its end. Cancels it and raises BrokenPipeError when standard output is no longer read.

    Without this check, a stream that is silent for a long time would notice only at its next write.
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
        loop.add_reader(output, stop)  # a pipe's write end becomes readable when its read end is closed
    try:
        await task
    except asyncio.CancelledError:
        if is_closed:
            raise BrokenPipeError from None
        raise
    finally:
        if is_pipe:
            loop.remove_reader(output)
