"""Reads SQL into a tree of tokens: parentheses, brackets and `case` expressions are groups."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

_TOKEN = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?\*/)|(?P<string>'(?:[^']|'')*')|(?P<parameter>%s|%\(\w+\)s|\$\w+(?![\w$]))"
    r"|(?P<body>\$\w*\$)|(?P<word>[a-z_]\w*)|(?P<number>\d+(?:\.\d+)?)"
    r"|(?P<operator>:=|::|<>|!=|<=|>=|->>|->|\|\||[^\s\w])",
    re.IGNORECASE | re.DOTALL,
)
_CLOSED_BY = {"(": ")", "[": "]", "case": "end"}


@dataclass(frozen=True, slots=True)
class Token:
    """A word, string, number, parameter or operator. A string has no quotes."""

    kind: str
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Group:
    """What is between two parentheses or brackets, or between `case` and `end`."""

    opened_by: str
    line: int
    items: "list[Item]" = field(default_factory=list)


Item: TypeAlias = Token | Group


def read(text: str) -> list[Item]:
    """Return the items of a script. `$$` becomes a semicolon, so that a function's body is a part of its file."""
    open_groups = [Group("", 1)]
    for token in _tokens(text):
        ends_case = open_groups[-1].opened_by == "" and token.text == "case" and _last(open_groups[-1]) == "end"
        if token.kind != "string" and token.text in _CLOSED_BY and not ends_case:
            open_groups.append(Group(token.text, token.line))
        elif token.kind != "string" and token.text == _CLOSED_BY.get(open_groups[-1].opened_by):
            closed = open_groups.pop()
            open_groups[-1].items.append(closed)
        else:
            open_groups[-1].items.append(token)
    while len(open_groups) > 1:  # Postgres reports what is not closed; its items are checked here like others
        closed = open_groups.pop()
        open_groups[-1].items.append(closed)
    return open_groups[0].items


def _last(group: Group) -> str:
    return word(group.items, len(group.items) - 1)


def _tokens(text: str) -> Iterator[Token]:
    line = 1
    position = 0
    for found in _TOKEN.finditer(text):
        line += text.count("\n", position, found.start())
        position = found.start()
        kind = found.lastgroup or ""
        if kind == "string":
            yield Token(kind, found.group()[1:-1].replace("''", "'"), line)
        elif kind == "body":
            yield Token("operator", ";", line)
        elif kind != "comment":
            yield Token(kind, found.group().lower(), line)


def word(items: Sequence[Item], index: int) -> str:
    """Return the word or operator at an index; empty for a string, a number, a group, and outside the items."""
    if not 0 <= index < len(items):
        return ""
    item = items[index]
    return item.text if isinstance(item, Token) and item.kind in ("word", "operator") else ""


def is_name(items: Sequence[Item], index: int) -> bool:
    """Return whether there is a word, and not an operator, at an index."""
    return 0 <= index < len(items) and isinstance(items[index], Token) and _kind(items[index]) == "word"


def _kind(item: Item) -> str:
    return item.kind if isinstance(item, Token) else ""


def group_at(items: Sequence[Item], index: int, opened_by: str = "(") -> Group | None:
    """Return the group at an index, if there is one of this kind."""
    item = items[index] if 0 <= index < len(items) else None
    return item if isinstance(item, Group) and item.opened_by == opened_by else None


def name_at(items: Sequence[Item], index: int) -> tuple[str, int]:
    """Return the name that begins at an index, with its schema if it has one, and the index after it."""
    if not is_name(items, index):
        return "", index
    if word(items, index + 1) == "." and is_name(items, index + 2):
        return f"{word(items, index)}.{word(items, index + 2)}", index + 3
    return word(items, index), index + 1


def split_at(items: Sequence[Item], separators: set[str]) -> list[list[Item]]:
    """Return the parts of the items between words or operators."""
    parts: list[list[Item]] = [[]]
    for index, item in enumerate(items):
        if word(items, index) in separators:
            parts.append([])
        else:
            parts[-1].append(item)
    return parts


def until(items: Sequence[Item], start: int, is_end: Callable[[str], bool]) -> list[Item]:
    """Return the items from `start` up to the first word that is an end."""
    stop = next((index for index in range(start, len(items)) if is_end(word(items, index))), len(items))
    return list(items[start:stop])
