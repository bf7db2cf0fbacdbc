"""Records child processes in files, and ends those that an earlier run left behind.

A process is identified by its pid and its start time, because pids are reused.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

from libs.private_files import write_private

_POLL_SECONDS = 0.02
_ORDERLY_SECONDS = 10.0
_KILLED_SECONDS = 5.0


def process_started(pid: int) -> str | None:
    """Return a text that identifies the process among all that ever had its pid, or None if it does not run."""
    if Path("/proc/self/stat").exists():
        return _started_on_linux(pid)
    return _started_elsewhere(pid)  # pragma: no cover - the tests run on Linux


def _started_elsewhere(pid: int) -> str | None:  # pragma: no cover - macOS
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() or None


def _started_on_linux(pid: int) -> str | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # the program's name, in parentheses, can contain anything: count the fields after it
    fields = text.rpartition(")")[2].split()
    state, ticks_since_boot = fields[0], fields[19]
    if state in "ZX":  # ended, but not yet reaped
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{ticks_since_boot}"


def remember_process(path: Path, pid: int, stop_signal: signal.Signals) -> None:
    """Record a child in a file, so that a later run can end it."""
    record = {"pid": pid, "started": process_started(pid), "stop_signal": int(stop_signal)}
    write_private(path, json.dumps(record))


def forget_process(path: Path) -> None:
    """Delete the record of a child."""
    path.unlink(missing_ok=True)


def end_leftovers(folder: Path) -> list[str]:
    """End all recorded processes that still run and delete the records; return the names of the ended ones.

    The caller must hold the lock of the home. Otherwise these may be the children of another run that is alive.
    """
    ended = []
    for path in sorted(folder.glob("*.json")):
        with contextlib.suppress(ValueError, KeyError, TypeError):  # a crash may have truncated the file
            record = json.loads(path.read_text(encoding="utf-8"))
            if end_process(int(record["pid"]), record["started"], signal.Signals(record["stop_signal"])):
                ended.append(path.stem)
        forget_process(path)
    return ended


def end_process(pid: int, started: str | None, stop_signal: signal.Signals) -> bool:
    """End the process, gracefully at first, and the group that it leads; return False if it had ended before."""
    if started is None or process_started(pid) != started:
        return False
    kill = os.killpg if os.getpgid(pid) == pid else os.kill
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, stop_signal)
        if not _has_ended(pid, started, _ORDERLY_SECONDS):
            kill(pid, signal.SIGKILL)
            _has_ended(pid, started, _KILLED_SECONDS)  # one that hangs in the kernel is left to it
    return True


def _has_ended(pid: int, started: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while process_started(pid) == started:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
