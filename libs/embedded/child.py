"""One child process: its specification, and how to start it, wait for it and stop it."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from libs.embedded.leftovers import forget_process, remember_process
from libs.embedded.system_user import SystemUser

_SHIM = Path(__file__).with_name("shim.py")
_LOG_LIMIT = 16 << 20  # bytes; a longer log is renamed at the next start
_TAIL_BYTES = 16 << 10
_LOOK_SECONDS = 0.05
_KILL_WAIT_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class ChildSpec:
    """What to run, how to see that it is ready, and how to stop it."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)  # holds secrets
    cwd: Path = Path("/")
    run_as: SystemUser | None = None
    ready: Callable[[], Awaitable[bool]]
    """Checks once; called until it returns True."""
    ready_seconds: float = 30.0
    before_start: Callable[[], None] = lambda: None
    """Cleans up after a crash; called before each start and restart."""
    stop_steps: Sequence[tuple[signal.Signals, float]] = ((signal.SIGTERM, 15.0),)
    """Signals to the process, each with the seconds to wait. SIGKILL to the group follows."""
    death_signal: signal.Signals = signal.SIGKILL
    """The signal that the kernel sends to the process when its parent dies (Linux)."""


def shim_command(argv: Sequence[str], run_as: SystemUser | None, death_signal: signal.Signals) -> list[str]:
    """Return the command that runs `argv` as `run_as` and ends when this process ends."""
    user_id, group_id = (run_as.user_id, run_as.group_id) if run_as else (-1, -1)
    life = [str(os.getpid()), str(int(death_signal)), str(user_id), str(group_id)]
    return [sys.executable, "-I", "-S", str(_SHIM), *life, *argv]


def last_lines(log: Path, count: int = 20) -> list[str]:
    """Return the last lines of a log file, or none if the file does not exist."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return file.read().decode("utf-8", "replace").splitlines()[-count:]
    except FileNotFoundError:
        return []


class Child:
    """A running child in a process group of its own, its output in `<logs>/<name>.log`."""

    def __init__(self, spec: ChildSpec, process: asyncio.subprocess.Process, log: Path, pid_file: Path) -> None:
        self.spec = spec
        self.log = log
        self._process = process
        self._pid_file = pid_file

    @classmethod
    async def start(cls, spec: ChildSpec, logs: Path, run: Path) -> "Child":
        """Start the process without waiting for it; raises OSError if it cannot start."""
        await asyncio.to_thread(spec.before_start)
        log = logs / f"{spec.name}.log"
        output = _open_log(log)
        try:
            process = await asyncio.create_subprocess_exec(
                *shim_command(spec.argv, spec.run_as, spec.death_signal),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=spec.cwd,
                env=dict(spec.environment),
                start_new_session=True,
            )
        finally:
            os.close(output)
        pid_file = run / f"{spec.name}.json"
        remember_process(pid_file, process.pid, spec.stop_steps[0][0])
        return cls(spec, process, log, pid_file)

    @property
    def pid(self) -> int:
        """The id of the process and of its group."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal, or None while the process runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait until the process ends and return its exit code."""
        return await self._process.wait()

    async def until_ready(self) -> bool:
        """Wait until the child is ready; return False if it ended or was not ready in time."""
        ended = asyncio.ensure_future(self._process.wait())
        try:
            async with asyncio.timeout(self.spec.ready_seconds):
                while not ended.done():
                    if await _first(asyncio.ensure_future(self.spec.ready()), ended):
                        return not ended.done()
                    await asyncio.wait([ended], timeout=_LOOK_SECONDS)
        except TimeoutError:
            pass
        finally:
            ended.cancel()
        return False

    async def stop(self) -> None:
        """Stop the process step by step, then kill what is left of its group."""
        for step, seconds in self.spec.stop_steps:
            if self.exit_code is not None:
                break
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(step)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._process.wait()
        self.kill()
        with contextlib.suppress(TimeoutError):
            # SIGKILL cannot end a process that hangs in the kernel, so do not wait forever
            async with asyncio.timeout(_KILL_WAIT_SECONDS):
                await self._process.wait()

    def kill(self) -> None:
        """Kill the whole group at once, even if its leader is dead."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        forget_process(self._pid_file)


async def _first(look: asyncio.Future[bool], ended: asyncio.Future[int]) -> bool:
    """Return the result of `look`, or False as soon as the process ends."""
    try:
        both: set[asyncio.Future[Any]] = {look, ended}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        return look.done() and look.result()
    finally:
        look.cancel()


def _open_log(log: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > _LOG_LIMIT:
            log.replace(log.with_suffix(".log.1"))
    return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
