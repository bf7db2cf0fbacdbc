"""Disks of engines' own that can be made full at will: a tmpfs, whose size is changed while it is in use."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ENGINES = ("nats", "postgres")
_SIZE = "size=4g"  # of which nothing is taken before it is written; JetStream reserves 2 GiB for the streams
_SLACK = 16 * 1024  # bytes that are left on a full disk


@contextmanager
def own_disk(folder: Path) -> Iterator[Path]:
    """Mounts a disk at the folder while it is entered; raises OSError where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"{_SIZE},mode=0711", "none", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


def fill(folder: Path) -> None:
    """Makes the disk no larger than what lies on it."""
    status = os.statvfs(folder)
    used = (status.f_blocks - status.f_bfree) * status.f_frsize
    _mount("-o", f"remount,size={used + _SLACK}", str(folder))


def free(folder: Path) -> None:
    """Gives the disk its size again."""
    _mount("-o", f"remount,{_SIZE}", str(folder))


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, check=False)
    if done.returncode != 0:
        raise OSError(done.stderr.decode().strip())
