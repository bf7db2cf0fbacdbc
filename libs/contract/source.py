"""Pieces of generated source: lines, and the names of the values that they use."""

from typing import Any

from libs.contract.rules import Check

Lines = list[str]


class Names:
    """The namespace that generated functions are defined in, and that has what they use."""

    def __init__(self, **given: Any) -> None:
        self.namespace: dict[str, Any] = given

    def keep(self, kind: str, value: Any) -> str:
        """Keep a value, and return the name of its own that sources use for it."""
        name = f"{kind}_{len(self.namespace)}"
        self.namespace[name] = value
        return name

    def define(self, source: str) -> None:
        """Define what a source defines."""
        exec(source, self.namespace)  # noqa: S102 - made of names that protoc has checked


def checked(checks: list[Check], at: str, then: Lines) -> Lines:
    """Write the checks of the value `v`, one after the other, and what is done with a value that passes all of them.

    `at` is the source of the value's path.
    """
    lines: Lines = []
    for number, one in enumerate(checks):
        lines += [f"{'elif' if number else 'if'} {one.condition}:", f"    errors.append(({at}, {one.rule}))"]
    return [*lines, "else:", *indented(then)] if lines else then


def indented(lines: Lines) -> Lines:
    """Indent lines by one step."""
    return [f"    {line}" for line in lines]
