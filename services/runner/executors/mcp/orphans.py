"""Finds agent processes that outlived their connection: their runner was killed, or they left their process group.

A tool's processes end with their process group or with their parent. This module catches the rest (failures, row 30).

Every agent process has a mark in its environment, which its descendants inherit. The mark identifies the runner by
PID namespace, process id and start time (so that a reused process id is not mistaken for the runner), and the
connection by a token. No file has to be kept or cleaned up. Works on Linux only; elsewhere it finds nothing.
"""

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

MARK = "CALLBOARD_AGENT"
_PREFIX = "callboard-agent-"
_PROC = Path("/proc")
_STARTED_FIELD = 19  # in /proc/<pid>/stat, counted after the closing parenthesis of the command


def new_mark() -> str:
    """Return a mark for a new connection of this process."""
    pid = os.getpid()
    return f"{_namespace()}:{pid}:{_started(pid)}:{secrets.token_hex(8)}"


def new_directory(mark: str) -> Path:
    """Create a private directory whose name contains the mark."""
    return Path(tempfile.mkdtemp(prefix=_PREFIX + mark.replace(":", "-") + "-"))


def sweep(is_live: Callable[[str], bool]) -> list[int]:
    """Kill processes with the mark of a dead runner, or with a mark of this process for which `is_live` is false.

    Also removes their private directories. Returns the ids of the killed processes. It reads all of /proc, so call it
    outside the event loop.
    """
    killed = []
    for pid, mark in _marked():
        if _is_orphan(mark, is_live):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        mark = ":".join(directory.name.removeprefix(_PREFIX).split("-")[:4])
        if mark.count(":") == 3 and _is_orphan(mark, is_live):
            shutil.rmtree(directory, ignore_errors=True)
    return killed


def _is_orphan(mark: str, is_live: Callable[[str], bool]) -> bool:
    namespace, runner, started, _ = mark.split(":")
    if namespace != _namespace() or not runner.isdigit():
        return False  # a runner in another container, whose process ids mean nothing here
    if int(runner) == os.getpid() and started == _started(os.getpid()):
        return not is_live(mark)
    return _started(int(runner)) != started


def living_members(group: int) -> list[int]:
    """Return the processes of a group that are not zombies. Reads all of /proc."""
    members = []
    for pid in _pids():
        fields = _stat(pid)
        if fields and int(fields[2]) == group and fields[0] not in {"Z", "X"}:
            members.append(pid)
    return members


def _marked() -> Iterator[tuple[int, str]]:
    prefix = f"{MARK}=".encode()
    for pid in _pids():
        try:
            environment = (_PROC / str(pid) / "environ").read_bytes()
        except OSError:
            continue  # it has exited, or belongs to another user
        for variable in environment.split(b"\x00"):
            if variable.startswith(prefix) and variable.count(b":") == 3:
                yield pid, variable.removeprefix(prefix).decode("ascii", "replace")


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir(_PROC) if name.isdigit()]  # noqa: PTH208 - twice as fast
    except OSError:
        return []


def _namespace() -> str:
    try:
        return str((_PROC / "self/ns/pid").stat().st_ino)
    except OSError:
        return "0"


def _started(pid: int) -> str:
    """Return the start time of a process in clock ticks since boot, or `0` if there is no such process."""
    fields = _stat(pid)
    return fields[_STARTED_FIELD] if fields else "0"


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat after the command, which may contain spaces and parentheses itself."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()
