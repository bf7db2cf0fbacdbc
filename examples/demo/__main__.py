"""`python -m examples.demo` plays Callboard's main story in the terminal.

It starts a temporary suite and leaves nothing behind. To use a running suite instead, set CALLBOARD_SESSION_ADDRESS,
CALLBOARD_COMMAND_ADDRESS and CALLBOARD_KEY (an admin's key).
"""

import argparse
import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from callboard import CallboardError, Client
from examples.demo.screen import Screen
from examples.demo.story import Story
from examples.demo.suite import SuiteError, given, own_suite

_INTERRUPTED = 130


async def run(screen: Screen) -> int:
    """Play the story and return the exit code."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a running coroutine has a task
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, lambda: task.cancelling() or task.cancel())
    try:
        await play(screen)
    except asyncio.CancelledError:
        screen.note("interrupted")
        return _INTERRUPTED
    except (SuiteError, CallboardError, LookupError, TimeoutError) as error:
        screen.failure(str(error) or type(error).__name__)
        return 1
    return 0


async def play(screen: Screen) -> None:
    """Play on the given suite, or on a temporary one."""
    async with AsyncExitStack() as stack:
        endpoints = given(os.environ)
        if endpoints is None:
            screen.step("Start a suite: Postgres, NATS, three services and a runner, as real processes")
            endpoints = await stack.enter_async_context(own_suite(screen.note))
        client = await stack.enter_async_context(
            Client(endpoints.key, session_address=endpoints.session, command_address=endpoints.command)
        )
        await Story(client, screen).play()


def main() -> None:
    """Read the arguments and play."""
    parser = argparse.ArgumentParser(prog="demo", description="Callboard's main story, played in the terminal.")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="also write the output as a picture")
    options = parser.parse_args()
    with Screen(options.svg) as screen:
        code = asyncio.run(run(screen))
    sys.exit(code)


if __name__ == "__main__":
    main()
