"""Private files: who can read them, and what is never overwritten."""

import stat
from pathlib import Path

from libs.private_files import create_private, kept_secret, make_folder, write_private


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secret_is_private_and_created_once(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secret = kept_secret(path)
    assert len(secret) == 43
    assert _mode(path) == 0o600
    assert kept_secret(path) == secret
    assert list(tmp_path.iterdir()) == [path]


def test_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert create_private(path, "mine")
    assert not create_private(path, "yours")
    assert path.read_text() == "mine"


def test_private_file_is_replaced_atomically(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old and readable by all")
    write_private(path, "new")
    assert (path.read_text(), _mode(path)) == ("new", 0o600)


def test_existing_folder_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_folder(tmp_path, 0o700)
    make_folder(tmp_path / "new", 0o700)
    assert (_mode(tmp_path), _mode(tmp_path / "new")) == (0o755, 0o700)
