"""What the names in a piece of SQL stand for: tables, subqueries and variables."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from tools.sql.catalog import Catalog
from tools.sql.tokens import Group, Item, group_at, is_name, name_at, word

SET_OPERATIONS = {"union", "except", "intersect"}
_BEFORE_A_SOURCE = {"from", "join", "using", "update", "into"}
_ENDS_SOURCES = {
    "where", "group", "order", "limit", "offset", "returning", "for", "set", "values", "select", "having", ";",
}  # fmt: skip
_NO_ALIAS = _ENDS_SOURCES | SET_OPERATIONS | {
    "on", "cross", "left", "right", "full", "inner", "join", "using", "with", "from", "do", "default", "add", "as",
    "loop",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Query:
    """A subquery, with the scope that it stands in."""

    items: Sequence[Item]
    scope: "Scope"


Source: TypeAlias = str | Query
"""A relation by name, or a subquery."""


@dataclass(slots=True)
class Scope:
    """The names of one level of a statement. Names of the levels around it are in `parent`."""

    catalog: Catalog
    parent: "Scope | None" = None
    sources: dict[str, Source] = field(default_factory=dict)
    queries: dict[str, Query] = field(default_factory=dict)
    variables: dict[str, Source] = field(default_factory=dict)
    target: str = ""

    def around(self) -> "Iterator[Scope]":
        """Yield this scope and those around it, innermost first."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def source(self, alias: str) -> Source | None:
        """Return what an alias or a variable stands for."""
        for scope in self.around():
            for names in (scope.sources, scope.variables):
                if alias in names:
                    return names[alias]
        return None

    def query(self, name: str) -> Query | None:
        """Return the `with` query of a name."""
        return next((scope.queries[name] for scope in self.around() if name in scope.queries), None)


def level(items: Sequence[Item], parent: Scope) -> Scope:
    """Return the scope of a statement, or of a branch of a union, without the groups in it."""
    scope = Scope(parent.catalog, parent)
    for index in range(len(items)):
        _add_query(items, index, scope)
    is_listed = False
    for index in range(len(items)):
        before = word(items, index)
        is_listed = before not in _ENDS_SOURCES and (is_listed or before in _BEFORE_A_SOURCE)
        begins = before in _BEFORE_A_SOURCE and word(items, index - 1) != "distinct"
        if begins or (is_listed and before == ","):
            _add_source(items, index + 1, scope, is_target=before in ("update", "into"))
    _add_definition(items, scope)
    return scope


def _add_query(items: Sequence[Item], index: int, scope: Scope) -> None:
    """Add `name as [materialized] (...)`."""
    start = index + 2 if word(items, index + 1) == "as" else 0
    if start and is_name(items, index) and word(items, index - 1) in ("with", "recursive", ","):
        start += {"materialized": 1, "not": 2}.get(word(items, start), 0)
        group = group_at(items, start)
        if group is not None:
            scope.queries[word(items, index)] = Query(group.items, scope)


def _add_source(items: Sequence[Item], index: int, scope: Scope, *, is_target: bool) -> None:
    index += word(items, index) in ("lateral", "only")
    group = group_at(items, index)
    name, after = name_at(items, index)
    if not (group or name) or name in _NO_ALIAS:
        return
    source: Source = Query(group.items, scope) if group else (scope.query(name) or name)
    if name and is_target and name not in scope.catalog.relations:
        return  # a variable: select ... into
    after = index + 1 if group else after
    if name and not is_target and group_at(items, after):
        after += 1  # the arguments of a function
    after += 2 * (word(items, after) == "with" and word(items, after + 1) == "ordinality")
    after += word(items, after) == "as"
    is_alias = is_name(items, after) and word(items, after) not in _NO_ALIAS
    scope.sources[word(items, after) if is_alias else name.split(".")[-1]] = source
    if is_target:
        scope.target = name
        scope.sources.setdefault("excluded", name)


def _add_definition(items: Sequence[Item], scope: Scope) -> None:
    """Add the table of `create table`, `alter table` and `create index ... on`: their conditions name its columns."""
    words = [word(items, index) for index in range(4)]
    if words[0] not in ("create", "alter") or not {"table", "index"} & set(words):
        return
    mark = "on" if "index" in words else "table"
    start = next((index + 1 for index in range(len(items)) if word(items, index) == mark), 0)
    name = name_at(items, start)[0]
    if name:
        scope.sources[name.split(".")[-1]] = name


def variables_of(items: Sequence[Item], catalog: Catalog) -> dict[str, Source]:
    """Return the variables and parameters that the items declare with a type of ours, with that type."""
    found: dict[str, Source] = {}
    for index, item in enumerate(items):
        if isinstance(item, Group):
            found |= variables_of(item.items, catalog)
        elif index == 0 or word(items, index - 1) in (";", "declare", ",", "in", "out", "inout"):
            type_ = name_at(items, index + 1)[0]
            if is_name(items, index) and "." in type_:
                found[item.text] = type_
    return found
