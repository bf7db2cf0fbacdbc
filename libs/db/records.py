"""Turns rows into dataclass instances: each column fills the field of its name."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from enum import StrEnum
from functools import cache
from operator import itemgetter
from typing import Any, TypeVar, get_args, get_type_hints

import psycopg

_Row = TypeVar("_Row")


class _Members(dict[str | None, StrEnum | None]):
    """The members of an enum by their words. A lookup costs a tenth of a call of the enum."""

    def __init__(self, kind: type[StrEnum], *, or_none: bool) -> None:
        super().__init__({member.value: member for member in kind})
        self._kind = kind
        if or_none:
            self[None] = None

    def __missing__(self, word: str | None) -> StrEnum:
        return self._kind(str(word))


def record_row(kind: type[Any]) -> Callable[[psycopg.AsyncCursor[Any]], Callable[[Sequence[Any]], Any]]:
    """Return a row factory that makes instances of a dataclass. A field that is a StrEnum gets the member of its word.

    The columns are matched once for each statement. psycopg's `class_row` matches them for each row and costs at least
    four times as much. Raises TypeError when the columns are not exactly the fields, and ValueError for a word that
    the enum does not have.
    """
    wanted, enums = _fields_of(kind)  # type: ignore[arg-type] # mypy: a class is not Hashable

    def for_cursor(cursor: psycopg.AsyncCursor[Any]) -> Callable[[Sequence[Any]], Any]:
        names = [column.name for column in cursor.description or ()]
        if names == wanted:
            return _builder(kind, tuple, enums) if enums else lambda row: kind(*row)
        if sorted(names) != sorted(wanted):
            raise TypeError(f"{kind.__name__} has the fields {wanted}, and the statement returns {names}")
        in_order = itemgetter(*(names.index(name) for name in wanted))
        return _builder(kind, in_order, enums) if enums else lambda row: kind(*in_order(row))

    return for_cursor


def _builder(
    kind: type[Any], in_order: Callable[[Sequence[Any]], Sequence[Any]], enums: Sequence[tuple[int, _Members]]
) -> Callable[[Sequence[Any]], Any]:
    def build(row: Sequence[Any]) -> Any:
        values = list(in_order(row))
        for index, members in enums:
            values[index] = members[values[index]]
        return kind(*values)

    return build


@cache
def _fields_of(kind: type[Any]) -> tuple[list[str], list[tuple[int, _Members]]]:
    """Return the names of a dataclass's fields, and the index of each field that is an enum, with its members."""
    names = [field.name for field in fields(kind)]
    types = get_type_hints(kind)
    enums = []
    for index, name in enumerate(names):
        options = get_args(types[name]) or (types[name],)
        found = next((one for one in options if isinstance(one, type) and issubclass(one, StrEnum)), None)
        if found is not None:
            enums.append((index, _Members(found, or_none=type(None) in options)))
    return names, enums
