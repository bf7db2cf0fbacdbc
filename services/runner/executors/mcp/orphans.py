"""Finds processes that outlived their connection: a killed runner's, and those that left their process group.

A tool's processes are ended by group, by the death of their parent, and at last by this (failures, row 30).

Every agent process carries a mark in its environment, which its descendants inherit: whose it is (PID
namespace, process id and start time of the runner, so that a reused id is not taken for the runner) and
a token of the connection. No file has to be kept or cleaned up. Linux only; elsewhere nothing is found.
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
_STARTED_FIELD = 19  # of /proc/<pid>/stat, counted after the command's closing parenthesis


def new_mark() -> str:
    """Return the mark of a new connection of this process."""
    pid = os.getpid()
    return f"{_namespace()}:{pid}:{_started(pid)}:{secrets.token_hex(8)}"


def new_directory(mark: str) -> Path:
    """Make a private directory, whose name holds the mark."""
    return Path(tempfile.mkdtemp(prefix=_PREFIX + mark.replace(":", "-") + "-"))


def sweep(is_live: Callable[[str], bool]) -> list[int]:
    """Kill what carries the mark of a dead runner, or one of this process's own that `is_live` disowns.

    Returns the ids of the killed, and removes the private directories of the same. Reads all of /proc: call it
    off the event loop, at start and now and then.
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
        return False  # a runner in another container: its process ids mean nothing here
    if int(runner) == os.getpid() and started == _started(os.getpid()):
        return not is_live(mark)
    return _started(int(runner)) != started


def living_members(group: int) -> list[int]:
    """Return the processes of a group that are no zombies; reads all of /proc."""
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
            continue  # gone by now, or another user's
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
    """The start time of a process in clock ticks since boot, or `0` when there is none of that id."""
    fields = _stat(pid)
    return fields[_STARTED_FIELD] if fields else "0"


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat after the command (which may hold spaces and parentheses itself)."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()
