"""The Python example of the README runs as written, with real processes."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from tests.support.processes import Suite

_README = Path(__file__).parents[2] / "README.md"
_STORY = {"session.started", "agent.connected", "command.enqueued", "command.started", "command.completed"}


def _example() -> str:
    (example,) = re.findall(r"^```python\n(.*?)^```$", _README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return str(example)


def test_example_is_short_and_needs_no_message_types() -> None:
    lines = [line for line in _example().splitlines() if line]
    assert len(lines) <= 10
    assert "_pb2" not in _example()


@pytest.mark.asyncio(loop_scope="package")
async def test_example_prints_the_session_from_start_to_stop(suite: Suite) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", _example()),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "CALLBOARD_KEY": suite.key,
            "CALLBOARD_SESSION_ADDRESS": suite.sessions[0].address,
            "CALLBOARD_COMMAND_ADDRESS": suite.commands[0].address,
        },
    )
    async with asyncio.timeout(60):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    printed = [line.split(" ", 2) for line in output.decode().splitlines()]
    *types, last = [type_ for _, type_, _ in printed]
    assert (set(types), last) == (_STORY, "session.stopped")
    assert [int(seq) for seq, _, _ in printed] == list(range(1, len(printed) + 1))
