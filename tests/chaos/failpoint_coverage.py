"""Which failpoints did something in a run, and which did not."""

from collections import Counter

from libs.failpoints import NAMES
from tests.chaos.history import History


def coverage(history: History) -> list[str]:
    """One line on those that did, each with its actions, and one on the others; none for a run without failpoints."""
    fired: dict[str, Counter[str]] = {}
    for row in history.rows("failpoints"):
        fired.setdefault(row["name"], Counter())[row["action"]] += 1
    if not fired:
        return []
    told = [f"{name} ({', '.join(f'{action} {n}' for action, n in fired[name].items())})" for name in sorted(fired)]
    return [
        f"{sum(map(sum, (counts.values() for counts in fired.values())))} times something happened at failpoints: "
        + ", ".join(told),
        f"never at: {', '.join(sorted(NAMES.keys() - fired.keys())) or 'none'}",
    ]
