"""One agent process in its own process group: started, watched, and ended together with all its descendants."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from libs.server_registry import ProcessLimits, StdioEntry
from services.runner.executors.mcp import orphans, pipes

_LAUNCHER = str(Path(__file__).with_name("launch.py"))
_CHUNK = 64 * 1024
_POLL = 0.02  # seconds between two checks for which the kernel has no event
_SIGNALS = {number.value: number.name for number in signal.Signals}
_KILL_SECONDS = 2.0  # only a process that is stuck in the kernel survives SIGKILL for longer


class AgentProcess:
    """A process of an agent. Create it with `start`. Call every method on the event loop's thread.

    The kernel kills the process when that thread ends, see `launch.py`.
    """

    def __init__(self, entry: StdioEntry, mark: str) -> None:
        self.exited = asyncio.Event()
        """Set once the process has ended, even if other processes still hold its pipes."""
        self._scratch = orphans.new_directory(mark) if entry.cwd is None else None
        self.stdin = pipes.PipeWriter()
        self.stdout = asyncio.StreamReader(limit=_CHUNK)
        self._stderr = pipes.TailBuffer()
        self._transports: list[asyncio.BaseTransport] = []
        self._watcher: asyncio.Task[None] | None = None
        self._pidfd: int | None = None
        try:
            self._child = _spawn(entry, str(self._scratch or entry.cwd), mark)
        except BaseException:
            self._remove_scratch()
            raise

    @classmethod
    async def start(cls, entry: StdioEntry, mark: str) -> "AgentProcess":
        """Start the command of the entry. Raises `OSError` if it cannot. Leaves nothing behind if cancelled."""
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
        """The process id, which is also the id of the group."""
        return self._child.pid

    @property
    def status(self) -> str:
        """How the process ended, in words for an error message. The exit status is known once `stop` has reaped it."""
        code = self._child.returncode
        if code is None:
            return "ended" if self.exited.is_set() else "is running"
        if code >= 0:
            return f"exited with status {code}"
        return f"was killed by {_SIGNALS.get(-code, -code)}"

    def stderr_tail(self) -> str:
        """Return the end of the process's stderr. Meant for the operator's log, never for a tenant."""
        return self._stderr.text()

    async def stop(self, grace: float) -> None:
        """End the process and its group within `grace` seconds: close stdin, then SIGTERM, then SIGKILL.

        Call it once. Afterwards no process of the group runs.
        """
        ended = False
        try:
            ended = await self._terminate(grace)
        finally:
            if not ended:
                # Nothing is awaited before the kill, so that a second cancellation cannot prevent it.
                self._signal(signal.SIGKILL)
            await self._reap()

    async def _terminate(self, grace: float) -> bool:
        """Let the process and its group end by themselves. Returns whether all of them have ended."""
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
        self._child.wait()  # returns at once; from now on the group exists only if it has other members
        return await self._group_ended(deadline)

    async def _reap(self) -> None:
        """Reap the process, and free its pipes and its scratch directory."""
        await self._exited_within(_KILL_SECONDS)
        if self._watcher is not None:
            self._watcher.cancel()
        self._unwatch()
        if self.exited.is_set():
            self._child.wait()
        await self._group_ended(asyncio.get_running_loop().time() + _KILL_SECONDS)
        for transport in self._transports:
            transport.close()
        await asyncio.sleep(0)  # transports close their pipes one iteration of the loop later
        if self._scratch is not None:
            await asyncio.to_thread(self._remove_scratch)

    async def _connect(self) -> None:
        loop, child = asyncio.get_running_loop(), self._child
        transport: asyncio.BaseTransport
        transport, _ = await loop.connect_read_pipe(lambda: self._stderr, child.stderr)
        self._transports.append(transport)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(self.stdout), child.stdout)
        self._transports.append(transport)
        transport, _ = await loop.connect_write_pipe(lambda: self.stdin, child.stdin)
        self._transports.append(transport)

    def _remove_scratch(self) -> None:
        if self._scratch is not None:
            # These are the server's own files. If it made some undeletable, they stay, without an error.
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _watch(self) -> None:
        """Set `exited` without reaping. A zombie keeps its process id, so no signal can hit an unrelated process."""
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
        while self._child.poll() is None:  # noqa: ASYNC110 - these systems have no event for an exit
            await asyncio.sleep(_POLL)
        self.exited.set()

    async def _exited_within(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.exited.wait(), max(seconds, 0))

    async def _group_ended(self, deadline: float) -> bool:
        """Wait until the group has no living members. Zombies do not count, although they can be signalled."""
        while self._signal(0) and orphans.living_members(self.pid):
            if asyncio.get_running_loop().time() >= deadline:
                return False
            await asyncio.sleep(_POLL)
        return True

    def _signal(self, number: int) -> bool:
        """Signal the group. Returns False if the group no longer exists."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:  # macOS raises this for a group of zombies
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
    """Return the whole environment of a server. It has nothing of the runner's environment, which holds secrets."""
    fixed = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": home}
    return fixed | dict(own) | {orphans.MARK: mark}


def _rlimits(limits: ProcessLimits) -> str:
    values = {
        "RLIMIT_AS": None if limits.memory_mib is None else limits.memory_mib << 20,
        "RLIMIT_CPU": limits.cpu_seconds,
        "RLIMIT_NOFILE": limits.open_files,
        "RLIMIT_FSIZE": None if limits.file_mib is None else limits.file_mib << 20,
        "RLIMIT_CORE": 0,
    }
    return ",".join(f"{name}={value}" for name, value in values.items() if value is not None)
