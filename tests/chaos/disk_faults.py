"""A full disk: an engine's own disk has no room for a while."""

import asyncio

from tests.chaos import disks
from tests.chaos.rig import Rig


async def fill(rig: Rig, engine: str, seconds: float) -> None:
    """Has the engine's disk full for so long, and starts the engine again where it has ended over it."""
    folder = rig.disks.get(engine)
    if folder is None:
        raise OSError(f"{engine} has no disk of its own")
    disks.fill(folder)
    try:
        await asyncio.sleep(seconds)
    finally:
        disks.free(folder)
    part = rig.parts[engine]
    if not part.is_running:
        rig.faults.note(phase="note", text=f"{engine} had ended")
        await part.start()
