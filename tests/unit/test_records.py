"""A row becomes a record by the names of its columns."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from libs.db.records import record_row


@dataclass
class Pair:
    first: int
    second: str


def record(names: list[str], row: tuple[Any, ...]) -> Any:
    cursor: Any = SimpleNamespace(description=[SimpleNamespace(name=name) for name in names])
    return record_row(Pair)(cursor)(row)


def test_columns_go_to_the_fields_of_their_names_in_any_order() -> None:
    assert record(["first", "second"], (1, "b")) == record(["second", "first"], ("b", 1)) == Pair(1, "b")


@pytest.mark.parametrize("names", [["first"], ["first", "third"], ["first", "second", "third"]])
def test_a_statement_that_returns_other_columns_is_rejected(names: list[str]) -> None:
    with pytest.raises(TypeError, match="Pair has the fields"):
        record(names, (1, "b", "c")[: len(names)])
