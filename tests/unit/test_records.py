"""Rows become records by the names of their columns."""

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


def test_columns_fill_fields_of_the_same_name_in_any_order() -> None:
    assert record(["first", "second"], (1, "b")) == record(["second", "first"], ("b", 1)) == Pair(1, "b")


@pytest.mark.parametrize("names", [["first"], ["first", "third"], ["first", "second", "third"]])
def test_statement_with_other_columns_is_rejected(names: list[str]) -> None:
    with pytest.raises(TypeError, match="Pair has the fields"):
        record(names, (1, "b", "c")[: len(names)])
