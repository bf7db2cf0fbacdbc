"""What a mutation is: a fault put into the code itself, so that the checker has something to find.

Each is a patch of a copy of the source tree. If a run of it is called sound, the checker is blind there.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """Replaces `old` by `new` in the files; the run of these faults must violate one of the rules.

    A control changes nothing and has no rules: its run must violate none.
    """

    name: str
    patches: tuple[tuple[str, str, str], ...]
    faults: str
    rules: frozenset[str]
    seconds: float = 25.0


def one_patch(name: str, file: str, old: str, new: str, faults: str, *rules: str, seconds: float = 25.0) -> Mutation:
    """A mutation of one place."""
    return Mutation(name, ((file, old, new),), faults, frozenset(rules), seconds)


def is_caught(mutation: Mutation, violated: set[str]) -> bool:
    """Whether the checker did what it must: one of the rules was violated, or, by a control, none at all."""
    return bool(violated & mutation.rules) if mutation.rules else not violated


def control(faults: str) -> Mutation:
    """The same kind of run of the code as it is."""
    return Mutation(f"control: nothing is changed, {faults}", (), faults, frozenset(), 40.0)
