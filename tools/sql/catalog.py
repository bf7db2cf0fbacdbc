"""The columns and types that the SQL files declare: of tables, composite types, and functions."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tools.sql.tokens import Group, Item, group_at, is_name, name_at, read, split_at, word

_CONSTRAINTS = {"primary", "unique", "check", "constraint", "foreign", "exclude", "like"}
_MODES = {"in", "out", "inout", "variadic"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column, field or parameter with its declared type."""

    name: str
    type: str
    line: int


@dataclass(slots=True)
class Catalog:
    """What files declare: the columns of relations, and the parameters and the result's type of functions.

    A relation is a table, a composite type, or a function that returns a table or has `out` parameters.
    """

    relations: dict[str, list[Column]] = field(default_factory=dict)
    parameters: dict[str, list[Column]] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)

    def columns_of(self, name: str) -> list[Column]:
        """Return the columns of a relation, or of the type that a function returns; none if it is unknown."""
        return self.relations.get(name) or self.relations.get(self.results.get(name, ""), [])

    def type_of(self, relation: str, column: str) -> str:
        """Return the declared type of a column; empty if it is unknown."""
        return next((found.type for found in self.columns_of(relation) if found.name == column), "")

    def add(self, text: str) -> Iterator[tuple[str, Column]]:
        """Add what a script declares, and yield each new column with its relation."""
        for statement in split_at(read(text), {";"}):
            for relation, column in self._declared(statement):
                self.relations.setdefault(relation, []).append(column)
                yield relation, column

    def _declared(self, statement: Sequence[Item]) -> Iterable[tuple[str, Column]]:
        words = [word(statement, index) for index in range(5)]
        if words[:2] == ["alter", "table"]:
            return _added(statement)
        kinds = [index for index in range(1, 4) if words[index] in ("table", "type", "function", "procedure")]
        if words[0] != "create" or not kinds:
            return ()
        name, after = name_at(statement, kinds[0] + 1)
        if words[kinds[0]] in ("function", "procedure"):
            return self._of_function(name, statement, after)
        group = group_at(statement, after + (words[kinds[0]] == "type"))
        return ((name, column) for column in columns_in(group)) if group else ()

    def _of_function(self, name: str, statement: Sequence[Item], after: int) -> Iterable[tuple[str, Column]]:
        head = group_at(statement, after)
        self.parameters[name] = [] if head is None else [*columns_in(head, without="out")]
        outs = [] if head is None else [*columns_in(head, only={"out", "inout"})]
        returns = next((index for index in range(after, len(statement)) if word(statement, index) == "returns"), 0)
        table = group_at(statement, returns + 2) if word(statement, returns + 1) == "table" else None
        if returns and table is None:
            self.results[name] = name_at(statement, returns + 1 + (word(statement, returns + 1) == "setof"))[0]
        return ((name, column) for column in ([*columns_in(table)] if table else outs))


def columns_in(group: Group, without: str = "", only: set[str] | None = None) -> Iterator[Column]:
    """Yield the columns that a group declares. `without` and `only` select parameters by their mode."""
    for part in split_at(group.items, {","}):
        mode = word(part, 0) if word(part, 0) in _MODES and is_name(part, 1) else ""
        start = 1 if mode else 0
        name = word(part, start)
        skipped = name in _CONSTRAINTS or (without and mode == without) or (only is not None and mode not in only)
        if name and not skipped:
            yield Column(name, name_at(part, start + 1)[0], part[0].line)


def _added(statement: Sequence[Item]) -> Iterator[tuple[str, Column]]:
    relation = name_at(statement, 2)[0]
    for index in range(len(statement)):
        if word(statement, index) == "add" and word(statement, index + 1) == "column":
            yield relation, Column(word(statement, index + 2), name_at(statement, index + 3)[0], statement[index].line)
