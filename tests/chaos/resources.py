"""What the processes hold of the machine: descriptors and memory, read from /proc."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from tests.chaos.journal import Row
from tests.chaos.process_faults import tools
from tests.chaos.rig import Rig
from tests.chaos.schedule import SERVICES

_LOOK_EVERY = 1.0  # seconds


def sample(rig: Rig) -> dict[str, Row]:
    """{pid, descriptors, kib} of each service, runner and gateway that runs, by its name."""
    return {name: _read(rig.parts[name].pid) for name in SERVICES if rig.parts[name].is_running}


async def sample_at_rest(rig: Rig, before: Mapping[str, Row], seconds: float) -> dict[str, Row]:
    """The same once no tool server runs, descriptors change no more and no process has more than before, or the time
    is up."""
    ends = time.monotonic() + seconds
    last: dict[str, Row] = {}
    found = sample(rig)
    while time.monotonic() < ends and (
        tools(rig.out) or _descriptors(found) != _descriptors(last) or _grown(before, found)
    ):
        await asyncio.sleep(_LOOK_EVERY)
        last, found = found, sample(rig)
    return found


def _descriptors(found: Mapping[str, Row]) -> dict[str, int]:
    return {name: row["descriptors"] for name, row in found.items()}


def _grown(before: Mapping[str, Row], found: Mapping[str, Row]) -> bool:
    return any(
        found[name]["pid"] == row["pid"] and found[name]["descriptors"] > row["descriptors"]
        for name, row in before.items()
        if name in found
    )


def _read(pid: int) -> Row:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return {
        "pid": pid,
        "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "kib": int(status["VmRSS"].split()[0]),
    }
