"""The mutations change code that is there, in the place where it is in force."""

from pathlib import Path

import pytest

from tests.chaos.mutation import Mutation
from tests.chaos.mutations import MUTATIONS

_ROOT = Path(__file__).resolve().parents[2]
_BY_NAME = [pytest.param(mutation, id=mutation.name) for mutation in MUTATIONS]


@pytest.mark.parametrize("mutation", _BY_NAME)
def test_what_a_mutation_replaces_is_there(mutation: Mutation) -> None:
    for file, old, _ in mutation.patches:
        assert old in (_ROOT / file).read_text(encoding="utf-8")
