"""`python -m examples.demo`: Callboard's main story, played in the terminal.

It starts a suite of its own and leaves nothing behind; or it plays on a running one, which CALLBOARD_SESSION_ADDRESS,
CALLBOARD_COMMAND_ADDRESS and CALLBOARD_KEY (of an admin) name.
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
    assert task is not None  # noqa: S101 - a coroutine that runs has one
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
    """Play on the suite that is given, else on one of the demo's own."""
    async with AsyncExitStack() as stack:
        endpoints = given(os.environ)
        if endpoints is None:
            screen.step("A suite of its own: Postgres, NATS, three services, a runner; real processes")
            endpoints = await stack.enter_async_context(own_suite(screen.note))
        client = await stack.enter_async_context(
            Client(endpoints.key, session_address=endpoints.session, command_address=endpoints.command)
        )
        await Story(client, screen).play()


def main() -> None:
    """Read the arguments and play."""
    parser = argparse.ArgumentParser(prog="demo", description="Callboard's main story, played in the terminal.")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write what is shown as a picture, too")
    options = parser.parse_args()
    with Screen(options.svg) as screen:
        code = asyncio.run(run(screen))
    sys.exit(code)


if __name__ == "__main__":
    main()
