"""Separate disks for engines: a tmpfs, which a smaller size makes full, or a disk image, which can be copied."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ENGINES = ("nats", "postgres")
_SIZE = "size=4g"  # allocated on write; JetStream reserves 2 GiB for the streams
_IMAGE_BYTES = 4 << 30  # sparse
_SLACK = 16 * 1024  # bytes that stay free on a full disk


@contextmanager
def own_disk(folder: Path) -> Iterator[Path]:
    """Mount a tmpfs at the folder. Raises OSError if the machine does not allow it."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"{_SIZE},mode=0711", "none", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


@contextmanager
def own_image(folder: Path) -> Iterator[Path]:
    """Mount an ext4 disk image at the folder, and yield its file. Raises OSError if the machine does not allow it."""
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
    """Mount a disk image."""
    _mount("-o", "loop", str(image), str(folder))


def fill(folder: Path) -> None:
    """Shrink the disk to the size of its contents."""
    status = os.statvfs(folder)
    used = (status.f_blocks - status.f_bfree) * status.f_frsize
    _mount("-o", f"remount,size={used + _SLACK}", str(folder))


def free(folder: Path) -> None:
    """Restore the size of the disk."""
    _mount("-o", f"remount,{_SIZE}", str(folder))


def done(*command: str) -> None:
    """Run a command. Raises OSError with its error output if it fails."""
    completed = subprocess.run(command, capture_output=True, check=False)
    if completed.returncode != 0:
        raise OSError(f"{command[0]}: {completed.stderr.decode().strip()}")


def _mount(*arguments: str) -> None:
    done("mount", *arguments)
