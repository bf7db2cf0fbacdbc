"""Disks of engines' own: a tmpfs, which is made full by changing its size, and an image, which can be copied."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ENGINES = ("nats", "postgres")
_SIZE = "size=4g"  # of which nothing is taken before it is written; JetStream reserves 2 GiB for the streams
_IMAGE_BYTES = 4 << 30  # sparse: what is not written takes no room
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


@contextmanager
def own_image(folder: Path) -> Iterator[Path]:
    """Mounts an ext4 file system in a file at the folder while it is entered; gives the file. Raises OSError where that
    is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    image = folder.with_name(f"{folder.name}.img")
    with image.open("wb") as file:
        os.truncate(file.fileno(), _IMAGE_BYTES)
    done("mkfs.ext4", "-q", "-F", str(image))
    mount_image(image, folder)
    try:
        folder.chmod(0o711)
        yield image
    finally:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)
        image.unlink(missing_ok=True)


def mount_image(image: Path, folder: Path) -> None:
    """Mounts the file system in a file."""
    _mount("-o", "loop", str(image), str(folder))


def fill(folder: Path) -> None:
    """Makes the disk no larger than what lies on it."""
    status = os.statvfs(folder)
    used = (status.f_blocks - status.f_bfree) * status.f_frsize
    _mount("-o", f"remount,size={used + _SLACK}", str(folder))


def free(folder: Path) -> None:
    """Gives the disk its size again."""
    _mount("-o", f"remount,{_SIZE}", str(folder))


def done(*command: str) -> None:
    """Runs a command; raises OSError with what it said when it fails."""
    ended = subprocess.run(command, capture_output=True, check=False)
    if ended.returncode != 0:
        raise OSError(f"{command[0]}: {ended.stderr.decode().strip()}")


def _mount(*arguments: str) -> None:
    done("mount", *arguments)
