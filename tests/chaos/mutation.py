"""What a mutation is: a fault put into the code itself, so that the checker has something to find.

Each is a patch of a copy of the source tree. If a run of it is called sound, the checker is blind there.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """Replaces `old` by `new` in the files; the run of these faults must violate one of the rules."""

    name: str
    patches: tuple[tuple[str, str, str], ...]
    faults: str
    rules: frozenset[str]
    seconds: float = 25.0


def one_patch(name: str, file: str, old: str, new: str, faults: str, *rules: str, seconds: float = 25.0) -> Mutation:
    """A mutation of one place."""
    return Mutation(name, ((file, old, new),), faults, frozenset(rules), seconds)
