"""Finds where SQL puts two expressions against each other: comparisons, assignments, and values of known columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tools.sql.catalog import Column
from tools.sql.expressions import listed
from tools.sql.scopes import Scope
from tools.sql.tokens import Group, Item, Token, group_at, is_name, name_at, split_at, until, word

_COMPARES = {"=", "<>", "!=", ":="}
_STOPS = {"and", "or", "where", "when", "on", "if", "elsif", "not", ",", "then", "else", "select", "set", ";", "return"}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two expressions that are compared, or a value and the expression that it is assigned to.

    `operator` is empty for the value of a column, whose declaration is then in `column`. `joined` has the words before
    and after the comparison.
    """

    left: Sequence[Item]
    right: Sequence[Item]
    operator: str = ""
    column: Column | None = None
    owner: str = ""
    joined: tuple[str, str] = ("", "")


def pairs(items: Sequence[Item], scope: Scope) -> Iterator[Pair]:
    """Yield the pairs of one level: not those inside groups, except what a group around them explains."""
    for index, item in enumerate(items):
        if isinstance(item, Group):
            yield from _of_group(items, index, item, scope)
        else:
            yield from _of_operator(items, index, scope)
    if scope.target:
        yield from _inserted(items, scope)


def _of_operator(items: Sequence[Item], index: int, scope: Scope) -> Iterator[Pair]:
    operator, right = _operator(items, index)
    if not operator:
        return
    start, end = _operand_before(items, index), _operand_after(items, right)
    left = items[start : index - (word(items, index - 1) == "not")]
    if operator == "=" and _is_set(items, start):
        found = next((each for each in scope.catalog.columns_of(scope.target) if each.name == word(left, 0)), None)
        if found:
            yield Pair((), items[right:end], column=found, owner=scope.target)
        return
    if operator == ":=":
        end = right + len(until(items, right, lambda found: found == ";"))
    yield Pair(left, items[right:end], operator, joined=(word(items, start - 1), word(items, end)))


def _operator(items: Sequence[Item], index: int) -> tuple[str, int]:
    """Return the comparison at an index, and the index of its right side; nothing if there is none."""
    found = word(items, index)
    if found in _COMPARES:
        listed_by = word(items, index + 1) in ("any", "all", "some")
        return ("in" if listed_by else found), index + 1 + listed_by
    if found == "is" and "distinct" in (word(items, index + 1), word(items, index + 2)):
        is_negated = word(items, index + 1) == "not"
        return ("=" if is_negated else "<>"), index + 3 + is_negated
    if found == "in" and group_at(items, index + 1):
        return "in", index + 1
    return "", 0


def _is_set(items: Sequence[Item], start: int) -> bool:
    """Return whether the expression at `start` is assigned to by `set`."""
    for index in range(start - 1, -1, -1):
        if word(items, index) == "set":
            return word(items, start - 1) in ("set", ",")
        if word(items, index) in ("where", "from", "select", "returning", ";"):
            return False
    return False


def _operand_before(items: Sequence[Item], index: int) -> int:
    """Return where the operand that ends before an index begins."""
    start = index - 1 - (word(items, index - 1) == "not")
    while start > 0:
        is_call = isinstance(items[start], Group) and is_name(items, start - 1) and word(items, start - 1) not in _STOPS
        if start > 1 and word(items, start - 1) in (".", "::"):
            start -= 2
        elif is_call or group_at(items, start, "["):
            start -= 1
        else:
            break
    return max(start, 0)


def _operand_after(items: Sequence[Item], start: int) -> int:
    end = start + 1
    while end < len(items):
        if word(items, end) in (".", "::"):
            end += 2
        elif group_at(items, end, "[") or (group_at(items, end) and is_name(items, end - 1)):
            end += 1
        else:
            break
    return min(end, len(items))


def _of_group(items: Sequence[Item], index: int, group: Group, scope: Scope) -> Iterator[Pair]:
    if group.opened_by == "case" and word(group.items, 0) != "when":
        operand = until(group.items, 0, lambda found: found == "when")
        for at in range(len(group.items)):
            if word(group.items, at) == "when":
                yield Pair(operand, until(group.items, at + 1, lambda found: found == "then"), "=")
    if group.opened_by != "(":
        return
    values = split_at(group.items, {","})
    if word(items, index - 1) == "row" and word(items, index + 1) == "::":
        type_ = name_at(items, index + 2)[0]
        yield from _values(scope.catalog.columns_of(type_), values, type_)
    function = _name_before(items, index)
    yield from _values(scope.catalog.parameters.get(function, []), values, function)
    if word(items, index - 1) == "jsonb_build_object":
        yield from _members(values)


def _name_before(items: Sequence[Item], index: int) -> str:
    return name_at(items, index - 3)[0] if word(items, index - 2) == "." else ""


def _values(columns: Sequence[Column], values: Sequence[Sequence[Item]], owner: str) -> Iterator[Pair]:
    """Yield values with the columns that they are for, up to a star, which stands for an unknown number of them."""
    for found, value in zip(columns, values, strict=False):
        if word(value, len(value) - 1) == "*":
            return
        yield Pair((), value, column=found, owner=owner)


def _members(values: Sequence[Sequence[Item]]) -> Iterator[Pair]:
    """Yield the values in a JSON object by key."""
    for key, value in zip(values[::2], values[1::2], strict=False):
        if len(key) == 1 and isinstance(key[0], Token) and key[0].kind == "string":
            yield Pair((), value, column=Column(key[0].text, "", key[0].line), owner="a JSON object")


def _inserted(items: Sequence[Item], scope: Scope) -> Iterator[Pair]:
    """Yield the values of an insert with their columns."""
    start = next((index for index in range(len(items)) if word(items, index) == "into"), None)
    if start is None or word(items, start - 1) != "insert":
        return
    after = name_at(items, start + 1)[1]
    after += 2 * (word(items, after) == "as")
    declared = {found.name: found for found in scope.catalog.columns_of(scope.target)}
    names = group_at(items, after)
    columns = [declared[name] for part in split_at(names.items, {","}) if (name := word(part, 0)) in declared] \
        if names else list(declared.values())  # fmt: skip
    yield from _values(columns, listed(items, "select"), scope.target)
    at = next((index + 1 for index in range(len(items)) if word(items, index) == "values"), len(items))
    while row := group_at(items, at):
        yield from _values(columns, split_at(row.items, {","}), scope.target)
        at += 2
