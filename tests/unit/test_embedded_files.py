"""Lock and pid files: what a crash can leave."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from libs.embedded import (
    AlreadyRunningError,
    FileLock,
    end_leftovers,
    leftovers,
)
from libs.embedded.leftovers import process_started, remember_process
from libs.private_files import write_private


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


def test_process_that_ignores_its_signal_is_killed_with_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "_ORDERLY_SECONDS", 0.05)
    program = (
        "import signal, subprocess; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print(subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL).pid, flush=True); signal.pause()"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        grandchild = int(process.stdout.readline())
        remember_process(tmp_path / "it.json", process.pid, signal.SIGTERM)
        assert end_leftovers(tmp_path) == ["it"]
        assert process.wait() == -signal.SIGKILL
    assert process_started(grandchild) is None


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
