"""Rows become records by the names of their columns."""

from dataclasses import dataclass
from enum import StrEnum
from types import SimpleNamespace
from typing import Any

import pytest

from libs.db.records import record_row


@dataclass
class Pair:
    first: int
    second: str


class Color(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Paint:
    number: int
    color: Color
    under: Color | None


def record(names: list[str], row: tuple[Any, ...], kind: type[Any] = Pair) -> Any:
    cursor: Any = SimpleNamespace(description=[SimpleNamespace(name=name) for name in names])
    return record_row(kind)(cursor)(row)


def test_columns_fill_fields_of_the_same_name_in_any_order() -> None:
    assert record(["first", "second"], (1, "b")) == record(["second", "first"], ("b", 1)) == Pair(1, "b")


@pytest.mark.parametrize("names", [["first"], ["first", "third"], ["first", "second", "third"]])
def test_statement_with_other_columns_is_rejected(names: list[str]) -> None:
    with pytest.raises(TypeError, match="Pair has the fields"):
        record(names, (1, "b", "c")[: len(names)])


def test_words_become_members_of_the_enum_of_their_field() -> None:
    names = ["number", "color", "under"]
    assert record(names, (1, "red", "blue"), Paint).color is Color.RED
    assert record(names, (1, "red", None), Paint) == Paint(1, Color.RED, None)
    assert record(names[::-1], ("blue", "red", 1), Paint).under is Color.BLUE


@pytest.mark.parametrize("row", [(1, "green", None), (1, None, None), (1, "red", "green")])
def test_word_that_the_enum_does_not_have_is_rejected(row: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="is not a valid Color"):
        record(["number", "color", "under"], row, Paint)
