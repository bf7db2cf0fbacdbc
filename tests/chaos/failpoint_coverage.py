"""Reports which failpoints took effect in a run, and which did not."""

from collections import Counter

from libs.failpoints import NAMES
from tests.chaos.history import History


def coverage(history: History) -> list[str]:
    """Return a line with the failpoints that took effect, and a line with the others. Empty without failpoints."""
    fired: dict[str, Counter[str]] = {}
    for row in history.rows("failpoints"):
        fired.setdefault(row["name"], Counter())[row["action"]] += 1
    if not fired:
        return []
    shown = [f"{name} ({', '.join(f'{action} {n}' for action, n in fired[name].items())})" for name in sorted(fired)]
    return [
        f"failpoints took effect {sum(map(sum, (counts.values() for counts in fired.values())))} times: "
        + ", ".join(shown),
        f"never at: {', '.join(sorted(NAMES.keys() - fired.keys())) or 'none'}",
    ]
