"""A power cut: an engine on a disk image of its own is gone at once, and starts again on what its disk had by then."""

import asyncio
import signal

from tests.chaos.disks import done, mount_image
from tests.chaos.process_faults import children, signal_all
from tests.chaos.rig import Rig


async def cut_power(rig: Rig, engine: str, seconds: float) -> None:
    """Takes the engine's disk as it is in the middle of its work, and starts the engine again on that, after so long.

    What it had written and not synced lies in the memory of the kernel, and is not in the image. While the image is
    copied the engine is stopped, so that the copy is of one moment.
    """
    image = rig.images.get(engine)
    if image is None:
        raise OSError(f"{engine} has no disk image of its own")
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
