"""A mutation is a bug that is put into the code, which the checker must find.

Each patches a copy of the source tree. If the checker calls its run sound, the checker misses that kind of bug.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """Replaces `old` with `new` in files. A run with these faults must violate one of the rules.

    A control has no patches and no rules; its run must violate none.
    """

    name: str
    patches: tuple[tuple[str, str, str], ...]
    faults: str
    rules: frozenset[str]
    seconds: float = 25.0


def one_patch(name: str, file: str, old: str, new: str, faults: str, *rules: str, seconds: float = 25.0) -> Mutation:
    """Return a mutation of one place."""
    return Mutation(name, ((file, old, new),), faults, frozenset(rules), seconds)


def is_caught(mutation: Mutation, violated: set[str]) -> bool:
    """Report whether the checker was right: one of the rules is violated, or none for a control."""
    return bool(violated & mutation.rules) if mutation.rules else not violated


def control(faults: str) -> Mutation:
    """Return a control: the same kind of run with unchanged code."""
    return Mutation(f"control: unchanged code, {faults}", (), faults, frozenset(), 40.0)
