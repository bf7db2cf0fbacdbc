"""Locks, secrets and pid files: what a crash at any point may leave, and who may read them."""

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


def test_a_secret_is_private_and_made_once(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secret = kept_secret(path)
    assert len(secret) == 43
    assert _mode(path) == 0o600
    assert kept_secret(path) == secret
    assert list(tmp_path.iterdir()) == [path]


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert create_private(path, "mine")
    assert not create_private(path, "yours")
    assert path.read_text() == "mine"


def test_a_private_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old and readable by all")
    write_private(path, "new")
    assert (path.read_text(), _mode(path)) == ("new", 0o600)


def test_an_existing_folder_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_folder(tmp_path, 0o700)
    make_folder(tmp_path / "new", 0o700)
    assert (_mode(tmp_path), _mode(tmp_path / "new")) == (0o755, 0o700)


def test_a_second_holder_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    held = FileLock(tmp_path / "lock", "the home")
    with (
        held,
        pytest.raises(AlreadyRunningError, match=f"the home is already in use by process {os.getpid()}"),
    ):
        FileLock(tmp_path / "lock", "the home").__enter__()
    with held:
        """It can be had again."""


def test_a_remembered_process_is_ended_with_its_group(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as process:
        remember_process(tmp_path / "it.json", process.pid, signal.SIGTERM)
        assert end_leftovers(tmp_path) == ["it"]
        assert process.wait() == -signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_a_pid_that_was_used_again_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "it.json"
    write_private(path, f'{{"pid": {os.getpid()}, "started": "another time", "stop_signal": 9}}')
    assert end_leftovers(tmp_path) == []
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x", "started": "y", "stop_signal": 15}', "null"])
def test_a_pid_file_cut_short_by_a_crash_is_dropped(tmp_path: Path, text: str) -> None:
    (tmp_path / "it.json").write_text(text)
    assert end_leftovers(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_process_is_told_from_others_by_when_it_started() -> None:
    mine = process_started(os.getpid())
    assert mine
    assert mine == process_started(os.getpid())
    assert mine != process_started(1)
    assert process_started(2**22 + 1) is None
