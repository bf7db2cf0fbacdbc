"""Faults of disks: an engine's disk is full for a while."""

import asyncio

from tests.chaos import disks
from tests.chaos.rig import Rig


async def fill(rig: Rig, engine: str, seconds: float) -> None:
    """Fill the engine's disk for some seconds, and restart the engine if it exited."""
    folder = rig.disks.get(engine)
    if folder is None:
        raise OSError(f"{engine} has no separate disk")
    disks.fill(folder)
    try:
        await asyncio.sleep(seconds)
    finally:
        disks.free(folder)
    part = rig.parts[engine]
    if not part.is_running:
        rig.faults.note(phase="note", text=f"{engine} had exited")
        await part.start()
