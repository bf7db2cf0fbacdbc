"""Lock, secret and pid files: what a crash can leave, and who can read them."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from libs.embedded import (
    AlreadyRunningError,
    FileLock,
    end_leftovers,
)
from libs.embedded.files import (
    create_private,
    kept_secret,
    make_folder,
    write_private,
)
from libs.embedded.leftovers import process_started, remember_process


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


def test_second_lock_is_rejected_naming_the_holder(tmp_path: Path) -> None:
    held = FileLock(tmp_path / "lock", "the home")
    with (
        held,
        pytest.raises(AlreadyRunningError, match=f"the home is already in use by process {os.getpid()}"),
    ):
        FileLock(tmp_path / "lock", "the home").__enter__()
    with held:
        """It can be had again."""


def test_recorded_process_is_killed_with_its_group(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as process:
        remember_process(tmp_path / "it.json", process.pid, signal.SIGTERM)
        assert end_leftovers(tmp_path) == ["it"]
        assert process.wait() == -signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_process_with_a_reused_pid_is_not_killed(tmp_path: Path) -> None:
    path = tmp_path / "it.json"
    write_private(path, f'{{"pid": {os.getpid()}, "started": "another time", "stop_signal": 9}}')
    assert end_leftovers(tmp_path) == []
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x", "started": "y", "stop_signal": 15}', "null"])
def test_truncated_pid_file_is_removed(tmp_path: Path, text: str) -> None:
    (tmp_path / "it.json").write_text(text)
    assert end_leftovers(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_process_is_identified_by_pid_and_start_time() -> None:
    mine = process_started(os.getpid())
    assert mine
    assert mine == process_started(os.getpid())
    assert mine != process_started(1)
    assert process_started(2**22 + 1) is None
