"""Private files: secrets and state that only their owner can read."""

import os
import secrets
from pathlib import Path

_SECRET_BYTES = 32


def write_private(path: Path, text: str) -> None:
    """Replace the file with `text` atomically and durably, with mode 0600."""
    temporary = _write_temporary(path, text)
    temporary.replace(path)
    _sync_folder(path.parent)


def create_private(path: Path, text: str) -> bool:
    """Create the file atomically and durably, with mode 0600; return False if it exists already."""
    temporary = _write_temporary(path, text)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    _sync_folder(path.parent)
    return True


def kept_secret(path: Path) -> str:
    """Return the secret in the file, 256 random bits as URL-safe text. Create it the first time."""
    create_private(path, secrets.token_urlsafe(_SECRET_BYTES))
    return path.read_text(encoding="ascii").strip()


def make_folder(path: Path, mode: int) -> None:
    """Create the folder and its parents. An existing folder keeps its mode and content."""
    if path.is_dir():
        return
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)


def _write_temporary(path: Path, text: str) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
