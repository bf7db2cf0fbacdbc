"""A power cut: an engine on a disk image dies at once, and restarts with the contents of its disk at that moment."""

import asyncio
import signal

from tests.chaos.disks import done, mount_image
from tests.chaos.process_faults import children, signal_all
from tests.chaos.rig import Rig


async def cut_power(rig: Rig, engine: str, seconds: float) -> None:
    """Copy the engine's disk image while it works, kill the engine, and restart it on the copy after some seconds.

    Data that was written and not synced is in the kernel's memory and not in the image. The engine is stopped during
    the copy, so that the copy is consistent.
    """
    image = rig.images.get(engine)
    if image is None:
        raise OSError(f"{engine} has no separate disk image")
    part = rig.parts[engine]
    folder, copy = image.with_suffix(""), image.with_suffix(".copy")
    own = children(part.pid)
    signal_all([part.pid, *own], signal.SIGSTOP)
    await asyncio.to_thread(done, "cp", "--sparse=always", str(image), str(copy))
    signal_all(own, signal.SIGKILL)
    await part.kill()
    await asyncio.to_thread(done, "umount", "-l", str(folder))
    image.unlink()
    copy.rename(image)
    await asyncio.to_thread(mount_image, image, folder)
    await asyncio.sleep(seconds)
    await part.start()
