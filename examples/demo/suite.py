"""The suite for the demo: a running one, or a temporary one."""

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex

_ROOT = Path(__file__).resolve().parents[2]
_READY_SECONDS = 60
_STOP_SECONDS = 20
_LAST_LINES = 20
_PORTS = ("CALLBOARD_HTTP_PORT", "CALLBOARD_SESSION_PORT", "CALLBOARD_COMMAND_PORT")


class SuiteError(Exception):
    """The suite could not be started. The message contains the last lines of its output."""


@dataclass(frozen=True)
class Endpoints:
    """The addresses of the services, and a key."""

    session: str
    command: str
    key: str = field(repr=False)


def given(environment: Mapping[str, str]) -> Endpoints | None:
    """Return the running suite that the environment names, or None."""
    session, command = environment.get("CALLBOARD_SESSION_ADDRESS"), environment.get("CALLBOARD_COMMAND_ADDRESS")
    key = environment.get("CALLBOARD_KEY")
    return Endpoints(session, command, key) if session and command and key else None


@asynccontextmanager
async def own_suite(say: Callable[[str], None]) -> AsyncIterator[Endpoints]:
    """Run `callboard up` on free ports while the block runs. Leaves no process and no file."""
    home = Path(tempfile.gettempdir()) / f"callboard-demo-{token_hex(4)}"
    environment = {**os.environ, **dict.fromkeys(_PORTS, "0"), "CALLBOARD_HOME": str(home), "NO_COLOR": "1"}
    for name in ("DATABASE_URL", "NATS_URL"):  # the demo must not create its agents in a real database
        environment.pop(name, None)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli", "up",
        env=environment,
        cwd=_ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,  # only the demo receives Ctrl-C, and it stops the suite gracefully
    )  # fmt: skip
    lines: list[str] = []
    reading = asyncio.create_task(_read(process, lines, say), name="suite output")
    try:
        yield await _endpoints(process, home, lines)
    finally:
        await asyncio.shield(_stop(process))
        await reading
        shutil.rmtree(home, ignore_errors=True)


async def _read(process: asyncio.subprocess.Process, lines: list[str], say: Callable[[str], None]) -> None:
    """Keep the output of the suite, and show its steps until it is up."""
    assert process.stdout is not None  # noqa: S101 - stdout is a pipe
    is_up = False
    async for raw in process.stdout:
        line = raw.decode(errors="replace").rstrip()
        lines.append(line)
        is_up = is_up or line.startswith("Callboard is up")
        if line and not is_up:
            say(line.strip())


async def _endpoints(process: asyncio.subprocess.Process, home: Path, lines: list[str]) -> Endpoints:
    """Wait for the endpoints file, which the suite writes once all parts are ready."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_READY_SECONDS):
            while process.returncode is None:
                with suppress(FileNotFoundError):
                    found = json.loads((home / "endpoints.json").read_text(encoding="utf-8"))
                    key = (home / "dev-key").read_text(encoding="utf-8").strip()
                    return Endpoints(found["session"], found["command"], key)
                await asyncio.sleep(0.05)
    raise SuiteError("\n".join(["the suite did not start:", *lines[-_LAST_LINES:]]))


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Stop the suite gracefully. A second SIGTERM makes it kill its parts, and SIGKILL ends it."""
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            process.send_signal(number)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
            return
