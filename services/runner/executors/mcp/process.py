"""One agent process in a process group of its own: started, watched, and ended with all that it started."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from libs.server_registry import Limits, StdioEntry
from services.runner.executors.mcp import orphans, pipes

_LAUNCHER = str(Path(__file__).with_name("launch.py"))
_CHUNK = 64 * 1024
_POLL = 0.02  # seconds between two looks at what the kernel gives no event for
_SIGNALS = {number.value: number.name for number in signal.Signals}
_KILL_PATIENCE = 2.0  # seconds; only a process stuck in the kernel outlives SIGKILL for longer


class AgentProcess:
    """Made by `start`. Every method belongs to the event loop's thread.

    That thread is also the one whose end the kernel takes for the runner's death, see `launch.py`.
    """

    def __init__(self, entry: StdioEntry, mark: str) -> None:
        self.exited = asyncio.Event()
        """Set once the process has ended, whatever still holds its pipes."""
        self._scratch = orphans.new_directory(mark) if entry.cwd is None else None
        self.stdin = pipes.PipeWriter()
        self.stdout = asyncio.StreamReader(limit=_CHUNK)
        self._stderr = pipes.TailBuffer()
        self._transports: list[asyncio.BaseTransport] = []
        self._watcher: asyncio.Task[None] | None = None
        self._pidfd: int | None = None
        self._ended = False
        try:
            self._child = _spawn(entry, str(self._scratch or entry.cwd), mark)
        except BaseException:
            self._clean()
            raise

    @classmethod
    async def start(cls, entry: StdioEntry, mark: str) -> "AgentProcess":
        """Start what the entry says; raises `OSError` if it can't be. Cancelled, it leaves nothing behind."""
        process = cls(entry, mark)
        try:
            process._watch()
            await process._connect()
        except BaseException:
            await asyncio.shield(process.stop(0))
            raise
        return process

    @property
    def pid(self) -> int:
        """The process id, which is the group's id too."""
        return self._child.pid

    @property
    def status(self) -> str:
        """How it ended, in words for an error message; it is running until `stop` has reaped it."""
        code = self._child.returncode
        if code is None:
            return "ended" if self.exited.is_set() else "is running"
        if code >= 0:
            return f"exited with status {code}"
        return f"was killed by {_SIGNALS.get(-code, -code)}"

    def stderr_tail(self) -> str:
        """Return the last of what it wrote to stderr; for the operator's log, never for a tenant."""
        return self._stderr.text()

    async def stop(self, grace: float) -> None:
        """End the process and its group within `grace` seconds: end of input, then SIGTERM, then SIGKILL.

        Idempotent. Afterwards nothing of the group runs.
        """
        if self._ended:
            return
        self._ended = True
        gone = False
        try:
            gone = await self._ask(grace)
        finally:
            if not gone:
                # Also when a second cancellation tears this apart: nothing is awaited before the kill.
                self._signal(signal.SIGKILL)
            await self._bury()

    async def _ask(self, grace: float) -> bool:
        """Give the process and its group the time to end by themselves; says whether all are gone."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace * 0.9
        self.stdin.close()
        if grace <= 0:
            return False
        await self._exited_within(grace * 0.4)
        self._signal(signal.SIGTERM)
        await self._exited_within(deadline - loop.time())
        if not self.exited.is_set():
            return False
        self._child.wait()  # returns at once; from now on the group exists only if others are in it
        return await self._group_gone(deadline)

    async def _bury(self) -> None:
        await self._exited_within(_KILL_PATIENCE)
        if self._watcher is not None:
            self._watcher.cancel()
        self._unwatch()
        if self.exited.is_set():
            self._child.wait()
        await self._group_gone(asyncio.get_running_loop().time() + _KILL_PATIENCE)
        for transport in self._transports:
            transport.close()
        await asyncio.sleep(0)  # transports close their pipes one turn of the loop later
        if self._scratch is not None:
            await asyncio.to_thread(self._clean)

    async def _connect(self) -> None:
        loop, child = asyncio.get_running_loop(), self._child
        transport: asyncio.BaseTransport
        transport, _ = await loop.connect_read_pipe(lambda: self._stderr, child.stderr)
        self._transports.append(transport)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(self.stdout), child.stdout)
        self._transports.append(transport)
        transport, _ = await loop.connect_write_pipe(lambda: self.stdin, child.stdin)
        self._transports.append(transport)

    def _clean(self) -> None:
        if self._scratch is not None:
            # The server's own files: what it made undeletable stays, and is no reason to fail.
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _watch(self) -> None:
        """Have `exited` set without reaping: a zombie keeps its id, so that no signal can hit a stranger."""
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except (AttributeError, OSError):  # macOS, old kernels
            self._watcher = asyncio.create_task(self._poll(), name=f"watch agent process {self.pid}")
            return
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_exit)

    def _on_exit(self) -> None:
        self._unwatch()
        self.exited.set()

    def _unwatch(self) -> None:
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    async def _poll(self) -> None:
        while self._child.poll() is None:  # noqa: ASYNC110 - these systems have no event for it
            await asyncio.sleep(_POLL)
        self.exited.set()

    async def _exited_within(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.exited.wait(), max(seconds, 0))

    async def _group_gone(self, deadline: float) -> bool:
        """Wait until the group is empty. Zombies are no leak, but a group of them answers to signals."""
        while self._signal(0) and orphans.living_members(self.pid):
            if asyncio.get_running_loop().time() >= deadline:
                return False
            await asyncio.sleep(_POLL)
        return True

    def _signal(self, number: int) -> bool:
        """Signal the group; False when there is none left."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:  # macOS says this of a group of zombies
            return False
        return True


def _spawn(entry: StdioEntry, directory: str, mark: str) -> subprocess.Popen[bytes]:
    launcher = [sys.executable, "-I", "-S", _LAUNCHER, str(os.getpid()), _rlimits(entry.limits)]
    return subprocess.Popen(
        [*launcher, entry.command, *entry.args],
        env=_environment(entry.env, home=directory, mark=mark),
        cwd=directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )


def _environment(own: Mapping[str, str], *, home: str, mark: str) -> dict[str, str]:
    """All that a server sees: nothing of the runner's environment, which holds its secrets."""
    fixed = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": home}
    return fixed | dict(own) | {orphans.MARK: mark}


def _rlimits(limits: Limits) -> str:
    wanted = {
        "RLIMIT_AS": None if limits.memory_mib is None else limits.memory_mib << 20,
        "RLIMIT_CPU": limits.cpu_seconds,
        "RLIMIT_NOFILE": limits.open_files,
        "RLIMIT_FSIZE": None if limits.file_mib is None else limits.file_mib << 20,
        "RLIMIT_CORE": 0,
    }
    return ",".join(f"{name}={value}" for name, value in wanted.items() if value is not None)
