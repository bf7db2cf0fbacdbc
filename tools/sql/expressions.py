"""The types of expressions, and the words that they can have as a value."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tools.sql.scopes import SET_OPERATIONS, Scope, Source, level
from tools.sql.tokens import Group, Item, Token, group_at, is_name, name_at, split_at, until, word

_PASS_ON = {"coalesce", "min", "max", "nullif", "greatest", "least", "array_agg", "any_value"}
_ARRAY = re.compile(r"\{([^{}]*)\}")
_MOST_NESTED = 12  # a recursive query refers to itself


@dataclass(frozen=True, slots=True)
class Typed:
    """The declared type of a value, and the column or function that it comes from."""

    type: str
    origin: str


@dataclass(frozen=True, slots=True)
class Word:
    """A quoted word with its line."""

    text: str
    line: int


def words_of(items: Sequence[Item]) -> list[Word]:
    """Return the quoted words that an expression can have as its value, or as an element of an array or a list."""
    items = _without_cast(items)
    if len(items) == 1 and isinstance(items[0], Token) and items[0].kind == "string":
        array = _ARRAY.fullmatch(items[0].text)
        texts = array.group(1).split(",") if array else [items[0].text]
        return [Word(text.strip().strip('"'), items[0].line) for text in texts]
    return [found for part in _alternatives(items) for found in words_of(part)]


def types_of(items: Sequence[Item], scope: Scope, depth: int = 0) -> set[Typed]:
    """Return the types that an expression may have, as far as the files declare them."""
    if depth > _MOST_NESTED or not items:
        return set()
    cast = _without_cast(items)
    if len(cast) < len(items):
        type_ = name_at(items, len(cast) + 1)[0]
        return {Typed(type_, "a cast")} if "." in type_ else types_of(cast, scope, depth + 1)
    if group_at(items, len(items) - 1, "[") and word(items, len(items) - 2) != "array":
        return types_of(items[:-1], scope, depth + 1)
    if len(items) == 1 and (group := group_at(items, 0)) and is_query(group.items):
        return {typed for item in first_items(group.items, scope) for typed in types_of(*item, depth + 1)}
    alternatives = _alternatives(items)
    if alternatives:
        return {typed for part in alternatives for typed in types_of(part, scope, depth + 1)}
    return _of_name(items, scope, depth + 1)


def _of_name(items: Sequence[Item], scope: Scope, depth: int) -> set[Typed]:
    if len(items) > 2 and word(items, len(items) - 2) == "." and is_name(items, len(items) - 1):
        return _of_field(items[:-2], word(items, len(items) - 1), scope, depth)
    name, after = name_at(items, 0)
    if group_at(items, after) and after + 1 == len(items):
        return {Typed(scope.catalog.results[name], name)} if name in scope.catalog.results else set()
    if len(items) != 1 or not name:
        return set()
    for around in scope.around():
        found = {typed for source in around.sources.values() for typed in column(source, name, scope, depth)}
        if found:
            return found
    source = scope.source(name)
    return {Typed(source, name)} if isinstance(source, str) else set()


def _of_field(owner: Sequence[Item], name: str, scope: Scope, depth: int) -> set[Typed]:
    """Return the types of `owner.name`."""
    if len(owner) == 1 and is_name(owner, 0):
        source = scope.source(word(owner, 0))
        return set() if source is None else column(source, name, scope, depth)
    if group := group_at(owner, len(owner) - 1):
        owners = types_of(group.items if len(owner) == 1 else owner, scope, depth)
        return {typed for one in owners for typed in column(one.type, name, scope, depth)}
    return set()


def column(source: Source, name: str, scope: Scope, depth: int) -> set[Typed]:
    """Return the types of a column of a relation or subquery."""
    if depth > _MOST_NESTED:
        return set()
    if isinstance(source, str):
        type_ = scope.catalog.type_of(source, name)
        return {Typed(type_, f"{source}.{name}")} if type_ else set()
    return {
        typed
        for branch, inner in branches(source.items, source.scope)
        for item in selected(branch)
        for typed in _of_output(item, name, inner, depth + 1)
    }


def _of_output(item: Sequence[Item], name: str, scope: Scope, depth: int) -> set[Typed]:
    """Return the types of a column if this item of a select list makes it."""
    if word(item, len(item) - 1) == "*":
        owner = scope.source(word(item, 0))
        sources: list[Source] = [*scope.sources.values()] if len(item) == 1 else [owner] if owner else []
        return {typed for source in sources for typed in column(source, name, scope, depth)}
    last = len(item) - 1
    if word(item, last) != name:
        return set()
    if word(item, last - 1) == "as":
        return types_of(item[: last - 1], scope, depth)
    return types_of(item if last == 0 or word(item, last - 1) == "." else item[:last], scope, depth)


def branches(items: Sequence[Item], parent: Scope) -> Iterator[tuple[list[Item], Scope]]:
    """Yield the parts of a union with their scopes. The `with` queries before the first part are known in all."""
    outer = parent
    for branch in split_at(items, SET_OPERATIONS):
        scope = level(branch, outer)
        outer = scope if outer is parent and scope.queries else outer
        yield branch, scope


def selected(items: Sequence[Item]) -> list[list[Item]]:
    """Return the expressions of the columns that a query returns."""
    return listed(items, "returning") or listed(items, "select") or _first_row(items)


def listed(items: Sequence[Item], start: str) -> list[list[Item]]:
    """Return the expressions after the word `select` or `returning`."""
    index = next((index for index in range(len(items)) if word(items, index) == start), None)
    if index is None:
        return []
    ends = {"from", "into", "where", "group", "order", "limit", "on", "returning", "for", "offset", ";"}
    return split_at(_until_clause(items, index + 1, ends), {","})


def _first_row(items: Sequence[Item]) -> list[list[Item]]:
    values = next((group_at(items, index + 1) for index in range(len(items)) if word(items, index) == "values"), None)
    return split_at(values.items, {","}) if values else []


def _until_clause(items: Sequence[Item], start: int, ends: set[str]) -> list[Item]:
    if word(items, start) == "distinct":
        start += 3 if word(items, start + 1) == "on" else 1
    listed = until(items, start, lambda found: found in ends)
    while word(listed, len(listed) - 1) == "distinct" and start + len(listed) < len(items):  # is distinct from
        more = until(items, start + len(listed) + 1, lambda found: found in ends)
        listed = [*listed, items[start + len(listed)], *more]
    return listed


def first_items(items: Sequence[Item], scope: Scope) -> Iterator[tuple[list[Item], Scope]]:
    """Yield the first item of each select list of a subquery, with its scope."""
    for branch, inner in branches(items, scope):
        yield from ((item, inner) for item in selected(branch)[:1])


def is_query(items: Sequence[Item]) -> bool:
    """Return whether the items of a group are a query."""
    return word(items, 0) in ("select", "with", "values", "insert", "update", "delete")


def _without_cast(items: Sequence[Item]) -> Sequence[Item]:
    index = next((index for index in range(len(items) - 1, 0, -1) if word(items, index) == "::"), 0)
    rest = items[index + 1 :]
    after = name_at(rest, 0)[1]
    is_last = index and after and all(group_at(rest, at, "[") for at in range(after, len(rest)))
    return items[:index] if is_last else items


def _alternatives(items: Sequence[Item]) -> list[list[Item]]:
    """Return the expressions of which one is the value: results of a case, arguments of coalesce, items of a list."""
    if case := _only(items, "case"):
        return results_of(case)
    if group := _only(items, "("):
        return [] if is_query(group.items) else split_at(group.items, {","})
    array = group_at(items, 1, "[") if word(items, 0) == "array" else None
    arguments = group_at(items, 1) if word(items, 0) in _PASS_ON else None
    found = array or arguments
    return split_at(found.items, {",", "order"}) if found and len(items) == 2 else []


def _only(items: Sequence[Item], opened_by: str) -> Group | None:
    return group_at(items, 0, opened_by) if len(items) == 1 else None


def results_of(case: Group) -> list[list[Item]]:
    """Return the expressions after `then` and `else`."""
    return [
        until(case.items, index + 1, lambda found: found in ("when", "else"))
        for index in range(len(case.items))
        if word(case.items, index) in ("then", "else")
    ]
