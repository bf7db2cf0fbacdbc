"""The descriptors and the memory of processes, read from /proc."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from tests.chaos.journal import Row
from tests.chaos.process_faults import tools
from tests.chaos.rig import Rig
from tests.chaos.schedule import SERVICES

_POLL = 1.0  # seconds


def sample(rig: Rig) -> dict[str, Row]:
    """Return {pid, descriptors, kib} of each running service, runner and gateway, by name."""
    return {name: _read(rig.parts[name].pid) for name in SERVICES if rig.parts[name].is_running}


async def sample_at_rest(rig: Rig, before: Mapping[str, Row], seconds: float) -> dict[str, Row]:
    """Return a sample once no tool server runs, the numbers of descriptors are stable and no process has more than
    before, or after `seconds`."""
    ends = time.monotonic() + seconds
    last: dict[str, Row] = {}
    found = sample(rig)
    while time.monotonic() < ends and (
        tools(rig.out) or _descriptors(found) != _descriptors(last) or _grown(before, found)
    ):
        await asyncio.sleep(_POLL)
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
