"""Checks each quoted word in SQL that is compared with a state or code, or stored as one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tools.sql.catalog import Catalog, Column
from tools.sql.comparisons import Pair, pairs
from tools.sql.expressions import Typed, Word, branches, is_query, selected, types_of, words_of
from tools.sql.scopes import Query, Scope, variables_of
from tools.sql.tokens import Group, Item, Token, group_at, is_name, name_at, read, split_at, word

STATE = "state"
"""The name of the columns that hold a state."""
Enums = Mapping[str, type[StrEnum]]
_SEPARATORS = {";", "then", "else", "elsif", "loop", "begin", "declare"}


@dataclass(frozen=True, slots=True)
class Check:
    """The check of one file: `domains` holds all enums in SQL, `states` those whose values must not be listed."""

    catalog: Catalog
    domains: Enums
    states: Enums
    schema: str

    def problems(self, text: str) -> list[str]:
        """Return the problems of a file, each beginning with its line."""
        items = read(text)
        scope = Scope(self.catalog, variables=dict(variables_of(items, self.catalog)))
        clauses = split_at(items, _SEPARATORS)
        for clause in clauses:
            _add_variable(clause, scope)
        found = {problem for clause in clauses for problem in self._of_level(clause, scope)}
        found |= set(self._of_result(items, clauses, scope))
        return [f"{line}: {problem}" for line, problem in sorted(found)]

    def _of_level(self, items: Sequence[Item], parent: Scope) -> Iterator[tuple[int, str]]:
        for branch, scope in branches(items, parent):
            compared = list(pairs(branch, scope))
            for pair in compared:
                yield from self._of_pair(pair, scope)
            yield from self._of_chain(compared, scope)
            for item in branch:
                if isinstance(item, Group):
                    yield from self._of_level(item.items, scope)
            yield from self._of_lists(branch)

    def _of_pair(self, pair: Pair, scope: Scope) -> Iterator[tuple[int, str]]:
        if pair.column is not None:
            typed = self._declared(pair.column, pair)
            yield from self._unknown(typed, words_of(pair.right))
            return
        for one, other in ((pair.left, pair.right), (pair.right, pair.left)):
            words = _listed_words(other) if pair.operator == "in" else [*words_of(other), *words_of(one)]
            typed = {each for each in types_of(one, scope) if each.type in self.domains}
            if words and not typed and _is_state(one):
                yield words[0].line, f"compares {words[0].text!r} with a state whose table is not known; name the type"
            yield from self._unknown(typed, words)
            if pair.operator == "in":
                yield from self._list(typed, words)

    def _declared(self, column: Column, pair: Pair) -> set[Typed]:
        name, type_ = column.name, column.type
        if type_ in self.domains:
            return {Typed(type_, f"{pair.owner}.{name}")}
        if pair.owner == "a JSON object" and name == STATE:
            return {Typed(each, "a JSON object") for each in self.states if each.startswith(f"{self.schema}.")}
        return set()

    def _unknown(self, typed: set[Typed], words: Sequence[Word]) -> Iterator[tuple[int, str]]:
        known = {value.value for each in typed for value in self.domains[each.type]}
        for found in words:
            if typed and found.text not in known:
                where, kind = min((each.origin, self.domains[each.type].__name__) for each in typed)
                yield found.line, f"uses {found.text!r} for {where}, which {kind} does not have"

    def _list(self, typed: set[Typed], words: Sequence[Word]) -> Iterator[tuple[int, str]]:
        states = {value.value for each in typed if each.type in self.states for value in self.states[each.type]}
        named = sorted({found.text for found in words} & states)
        if len(named) > 1:
            yield words[0].line, _by_hand(named, min(each.origin for each in typed))

    def _of_chain(self, compared: Sequence[Pair], scope: Scope) -> Iterator[tuple[int, str]]:
        """Find `state = 'a' or state = 'b'`, and `state <> 'a' and state <> 'b'`."""
        for operators, joined, other in (({"="}, "or", "and"), ({"<>", "!="}, "and", "or")):
            by_left: dict[str, list[Pair]] = {}
            for pair in compared:
                if pair.operator in operators and joined in pair.joined and other not in pair.joined:
                    by_left.setdefault(_shown(pair.left), []).append(pair)
            for chain in by_left.values():
                typed = {each for each in types_of(chain[0].left, scope) if each.type in self.domains}
                yield from self._list(typed, [found for pair in chain for found in words_of(pair.right)])

    def _of_lists(self, items: Sequence[Item]) -> Iterator[tuple[int, str]]:
        """Find arrays of states, whatever they are for."""
        for index, item in enumerate(items):
            is_array = word(items, index - 1) == "array" and group_at(items, index, "[")
            words = words_of(items[index - 1 : index + 1] if is_array else [item] if isinstance(item, Token) else [])
            for type_, kind in self.states.items():
                named = {found.text for found in words}
                if len(named) > 1 and named <= {state.value for state in kind}:
                    yield words[0].line, _by_hand(sorted(named), type_)

    def _of_result(
        self, items: Sequence[Item], clauses: Sequence[Sequence[Item]], scope: Scope
    ) -> Iterator[tuple[int, str]]:
        """Check the words that a function returns in the columns of its table."""
        function = next((name_at(items, at + 1)[0] for at in range(8) if word(items, at) == "function"), "")
        columns = self.catalog.columns_of(function)
        for clause in clauses:
            returns = word(clause, 0) == "return" and word(clause, 1) == "query"
            if columns and (returns or is_query(clause)) and not _has_into(clause):
                for branch, _ in branches(clause, scope):
                    for column, item in zip(columns, selected(branch), strict=False):
                        if word(item, len(item) - 1) == "*":
                            break
                        yield from self._of_pair(Pair((), item, column=column, owner=function), scope)


def undeclared(relation: str, name: str, type_: str, domains: Enums) -> Iterator[str]:
    """Yield the problem of a state whose type does not say whose state it is."""
    if name == STATE and type_ not in domains:
        yield f"declares {relation}.{name} as {type_ or 'nothing'}; give it the domain of its states"


def _by_hand(states: Sequence[str], where: str) -> str:
    return f"lists the states {', '.join(states)} of {where}: use a function that is generated from model.py"


def _add_variable(clause: Sequence[Item], scope: Scope) -> None:
    """Add a variable that a query or a call gives its type: `select ... into v`, `v := session.f(...)`."""
    into = next((index for index in range(len(clause)) if word(clause, index) == "into"), 0)
    if into and word(clause, into - 1) != "insert" and is_name(clause, into + 1) and word(clause, into + 2) != ",":
        scope.variables.setdefault(word(clause, into + 1), Query(clause, scope))
    if is_name(clause, 0) and word(clause, 1) == ":=":
        function, after = name_at(clause, 2)
        if function in scope.catalog.parameters and group_at(clause, after) and len(clause) == after + 1:
            scope.variables.setdefault(word(clause, 0), function)


def _has_into(clause: Sequence[Item]) -> bool:
    return any(word(clause, index) == "into" for index in range(len(clause)))


def _is_state(items: Sequence[Item]) -> bool:
    return is_name(items, len(items) - 1) and word(items, len(items) - 1) == STATE


def _listed_words(items: Sequence[Item]) -> list[Word]:
    """Return the words of a list, also of one that a subquery makes: `in (select unnest(array['a']))`."""
    group = group_at(items, 0)
    if group is None or not is_query(group.items):
        return words_of(items)
    return [found for array in _arrays(group) for found in words_of(array)]


def _arrays(group: Group) -> Iterator[list[Item]]:
    for index, item in enumerate(group.items):
        if isinstance(item, Group) and word(group.items, 0) == "values":
            yield [item]
        elif isinstance(item, Group):
            yield from _arrays(item)
        if group_at(group.items, index, "[") and word(group.items, index - 1) == "array":
            yield list(group.items[index - 1 : index + 1])


def _shown(items: Sequence[Item]) -> str:
    return "".join(item.text if isinstance(item, Token) else f"({_shown(item.items)})" for item in items)
