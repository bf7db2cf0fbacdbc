"""Pauses a process and waits until it has stopped."""

import os
import signal
import subprocess
import time
from pathlib import Path

_SECONDS = 5.0


def pause(pid: int) -> None:
    """Stops a process, and returns when all its threads have stopped.

    `kill` returns before that: on another core, a thread may still answer a request sent right after.
    """
    os.kill(pid, signal.SIGSTOP)
    ends = time.monotonic() + _SECONDS
    while not _is_stopped(pid):
        assert time.monotonic() < ends, f"process {pid} did not stop within {_SECONDS:g} s"
        time.sleep(0.0005)


def _is_stopped(pid: int) -> bool:
    threads = Path(f"/proc/{pid}/task")
    if not threads.exists():
        shown = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, check=False, text=True)
        return not shown.stdout.strip() or shown.stdout.strip()[0] in "TZ"
    return all(_state(thread) in "TZX" for thread in threads.iterdir())


def _state(thread: Path) -> str:
    """The letter of a thread's state; X for a thread that has ended meanwhile."""
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"
