"""The mutations change code that is there, in the place where it is in force."""

import re
from pathlib import Path

import pytest

from tests.chaos.mutation import Mutation
from tests.chaos.mutations import MUTATIONS

_ROOT = Path(__file__).resolve().parents[2]
_MIGRATIONS = _ROOT / "libs/db/migrations/sql"
_FUNCTION = re.compile(r"^create (?:or replace )?function ([a-z_.]+)", re.MULTILINE)
_BY_NAME = [pytest.param(mutation, id=mutation.name) for mutation in MUTATIONS]


@pytest.mark.parametrize("mutation", _BY_NAME)
def test_what_a_mutation_replaces_is_there(mutation: Mutation) -> None:
    for file, old, _ in mutation.patches:
        assert old in (_ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("mutation", _BY_NAME)
def test_a_mutation_changes_the_last_definition_of_a_function(mutation: Mutation) -> None:
    for file, old, _ in mutation.patches:
        path = _ROOT / file
        if path.is_relative_to(_MIGRATIONS):
            later = {name for each in sorted(_MIGRATIONS.glob("*/*.sql")) if each > path for name in _functions(each)}
            assert not later & {_around(path.read_text(encoding="utf-8"), old)}


def _functions(file: Path) -> list[str]:
    return _FUNCTION.findall(file.read_text(encoding="utf-8"))


def _around(text: str, old: str) -> str:
    """The function that the text stands in, empty when it is none."""
    return next(reversed(_FUNCTION.findall(text[: text.index(old)])), "")
