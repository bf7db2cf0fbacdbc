"""The mutations replace code that exists and is in effect."""

from pathlib import Path

import pytest

from tests.chaos.mutation import Mutation
from tests.chaos.mutations import MUTATIONS

_ROOT = Path(__file__).resolve().parents[2]
_BY_NAME = [pytest.param(mutation, id=mutation.name) for mutation in MUTATIONS]


@pytest.mark.parametrize("mutation", _BY_NAME)
def test_mutation_replaces_existing_code(mutation: Mutation) -> None:
    for file, old, _ in mutation.patches:
        assert old in (_ROOT / file).read_text(encoding="utf-8")
