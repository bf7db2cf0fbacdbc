"""Private files: secrets and state that only their owner may read."""

import os
import secrets
from pathlib import Path

_SECRET_BYTES = 32


def write_private(path: Path, text: str) -> None:
    """Replaces the file in one step with `text`, mode 0600, durably."""
    part = _write_part(path, text)
    part.replace(path)
    _sync_folder(path.parent)


def create_private(path: Path, text: str) -> bool:
    """Creates the file whole, mode 0600, durably; returns False, changing nothing, when it exists."""
    part = _write_part(path, text)
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    finally:
        part.unlink()
    _sync_folder(path.parent)
    return True


def kept_secret(path: Path) -> str:
    """Returns the secret kept in the file (256 random bits in URL-safe letters), made once."""
    create_private(path, secrets.token_urlsafe(_SECRET_BYTES))
    return path.read_text(encoding="ascii").strip()


def make_folder(path: Path, mode: int) -> None:
    """Makes the folder and those above it; an existing one keeps its mode and what it holds."""
    if path.is_dir():
        return
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)


def _write_part(path: Path, text: str) -> Path:
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return part


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
