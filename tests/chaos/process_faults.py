"""Faults of processes, caused from outside: signals, CPU starvation, lack of memory, and another clock."""

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.chaos.rig import Rig
from tests.support.suite_process import SuiteProcess

_SLICE = 0.2  # seconds; a starved process runs for a tenth of each
_SHARE = 0.1
_CLOCK_SOURCE = Path(__file__).with_name("clock.c")


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to processes. Ignores processes that have exited."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def tools(out: Path) -> list[int]:
    """Return the tool servers of a run, recognised by the file that they write to."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                line = (folder / "cmdline").read_bytes().split(b"\0")
                if str(out / "effects.jsonl").encode() in line and line[1:2] != [b"-I"]:
                    found.append(int(folder.name))
    return sorted(found)


def copy_while_in_use(source: Path, copy: Path) -> None:
    """Copy a folder file by file while its files change."""
    for folder, _, names in os.walk(source):
        target = copy / Path(folder).relative_to(source)
        target.mkdir(parents=True, exist_ok=True)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                shutil.copy2(Path(folder) / name, target / name)


async def starve(pid: int, seconds: float) -> None:
    """Give a process a tenth of the time by stopping it in between, like a CPU quota without a cgroup."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    try:
        while loop.time() < ends:
            signal_all([pid], signal.SIGSTOP)
            await asyncio.sleep(_SLICE * (1 - _SHARE))
            signal_all([pid], signal.SIGCONT)
            await asyncio.sleep(_SLICE * _SHARE)
    finally:
        signal_all([pid], signal.SIGCONT)


async def out_of_memory(part: SuiteProcess) -> None:
    """Limit a process's address space to its current size, and kill it after 3 s, as the kernel would."""
    if part.is_running:
        pages = int(Path(f"/proc/{part.pid}/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + (1 << 20)
        resource.prlimit(part.pid, resource.RLIMIT_AS, (limit, limit))
        await asyncio.sleep(3)
    if part.is_running:
        await part.kill()
    await part.start()


def clock_library(folder: Path) -> Path:
    """Compile the library that shifts a process's wall clock. Raises OSError if there is no compiler."""
    made = folder / "clock.so"
    if not made.exists():
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(made), str(_CLOCK_SOURCE), "-ldl"]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode != 0:
            raise OSError(done.stderr.decode())
    return made


def clock_environment(out: Path) -> dict[str, str]:
    """Return the environment of a process whose clock `jump_clock` can move."""
    return {"LD_PRELOAD": str(clock_library(out)), "CHAOS_CLOCKS": str(out / "clocks")}


async def jump_clock(rig: Rig, name: str, seconds: float, shift: int) -> None:
    """Move the wall clock of a running process by `shift` seconds, and back after `seconds`."""
    pid = rig.parts[name].pid
    folder = rig.out / "clocks"
    if not (rig.out / "clock.so").exists():
        raise OSError("the clock cannot be moved without a C compiler")
    folder.mkdir(exist_ok=True)
    file = folder / str(pid)
    file.write_text(str(shift))
    try:
        await asyncio.sleep(seconds)
    finally:
        file.write_text("0")
