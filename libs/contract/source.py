"""Building blocks of generated source."""

from typing import Any

from libs.contract.rules import Check

Lines = list[str]


class Names:
    """The namespace of generated functions: the functions themselves and the values that they use."""

    def __init__(self, **given: Any) -> None:
        self.namespace: dict[str, Any] = given

    def keep(self, kind: str, value: Any) -> str:
        """Store a value under a new name, and return the name."""
        name = f"{kind}_{len(self.namespace)}"
        self.namespace[name] = value
        return name

    def define(self, source: str) -> None:
        """Execute a source in the namespace."""
        exec(source, self.namespace)  # noqa: S102 - it consists of names that protoc has checked


def checked(checks: list[Check], at: str, then: Lines) -> Lines:
    """Generate the checks of the value `v` in order, followed by `then` for a value that passes all of them.

    `at` is the expression of the value's path.
    """
    lines: Lines = []
    for number, one in enumerate(checks):
        lines += [f"{'elif' if number else 'if'} {one.condition}:", f"    errors.append(({at}, {one.rule!r}))"]
    return [*lines, "else:", *indented(then)] if lines else then


def indented(lines: Lines) -> Lines:
    """Indent lines by one step."""
    return [f"    {line}" for line in lines]
