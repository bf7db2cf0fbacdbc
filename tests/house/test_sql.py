"""SQL is source code: short functions in their slices, with the same states and codes as Python."""

import tomllib
from enum import StrEnum
from pathlib import Path

import pytest

from services.command.commands.model import TRANSITIONS as COMMAND_TRANSITIONS
from services.command.commands.model import CommandState
from services.command.dispatch.model import TRANSITIONS as CONNECTION_TRANSITIONS
from services.command.dispatch.model import ConnectionState
from services.session.sessions.model import TRANSITIONS as SESSION_TRANSITIONS
from services.session.sessions.model import SessionState
from tools.sql.checks import misplaced, name_problems, problems
from tools.sql.generated import DOMAINS

ROOT = Path(__file__).parents[2]


def test_sql_passes_its_checks() -> None:
    assert list(problems()) == []


def test_package_ships_all_sql() -> None:
    """setuptools finds package data by patterns, in every folder that is a package."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    packages = [path.parent for folder in ("services", "libs") for path in (ROOT / folder).rglob("__init__.py")]
    shipped = {path for package in packages for pattern in patterns for path in package.glob(pattern)}
    assert {path for folder in ("services", "libs") for path in (ROOT / folder).rglob("*.sql")} <= shipped


def test_undefined_name_is_reported() -> None:
    text = "select session.lock_log('session.started') from session.logs -- session.gone"
    assert list(name_problems(text, {"session.lock_log"})) == ["uses session.logs, which no file defines"]


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("services/session/functions/lost.sql", "is in no slice"),
        ("services/session/nothing/functions/lost.sql", "is in no slice"),
        ("services/session/forgotten/functions/lost.sql", "is not applied"),
        ("services/session/known/more.sql", "is neither a function"),
        ("libs/nothing/functions/lost.sql", "is in no slice"),
        ("libs/forgotten/functions/lost.sql", "is not applied"),
        ("libs/known/more.sql", "is neither a function"),
    ],
)
def test_file_in_the_wrong_folder_is_reported(tmp_path: Path, file: str, problem: str) -> None:
    known = tmp_path / "services/session/known/functions"
    for folder in (known, (tmp_path / file).parent):
        folder.mkdir(parents=True, exist_ok=True)
    for owner in ("services/session/known", "services/session/forgotten", "libs/known", "libs/forgotten"):
        (tmp_path / owner).mkdir(parents=True, exist_ok=True)
        (tmp_path / owner / "__init__.py").touch()
    (known / "kept.sql").touch()
    (tmp_path / file).touch()
    [found] = misplaced(tmp_path, {known})
    assert found.startswith(f"{file} {problem}")


@pytest.mark.parametrize("name", [name for name in DOMAINS if not name.endswith("_state")])
def test_every_code_of_an_enum_occurs_in_sql(name: str) -> None:
    """The database checks the other direction: a code that is not in the enum does not fit its domain."""
    kind: type[StrEnum] = DOMAINS[name]
    place, owner, *_, domain = name.split("/")
    files = [path for path in (ROOT / place / owner).rglob("*.sql") if path.stem != domain]
    text = "".join(path.read_text() for path in files)
    assert {code for code in kind if f"'{code}'" not in text} == set()


def test_tables_of_transitions_cover_every_state() -> None:
    for transitions in (SESSION_TRANSITIONS, COMMAND_TRANSITIONS, CONNECTION_TRANSITIONS):
        assert set().union(*transitions.values()) <= transitions.keys()
    assert SESSION_TRANSITIONS.keys() == set(SessionState)
    assert COMMAND_TRANSITIONS.keys() == set(CommandState)
    assert CONNECTION_TRANSITIONS.keys() == set(ConnectionState)
