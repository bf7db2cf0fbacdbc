"""Generate SQL from Python's tables of states and codes, or check all SQL.

Usage: python -m tools.sql generate | check

`check` fails when a generated file is stale, when a function is in no slice or library, or is not applied by
`callboard migrate`, and when SQL uses a name that is not defined, a state or code that the enum of its column does not
have, a state without a domain, or a list of states that is written by hand.
"""

import sys

from tools.sql.checks import problems
from tools.sql.generated import generated


def main() -> int:
    """Run the action that the argument names, and return the exit code."""
    if sys.argv[1:] == ["generate"]:
        for path, text in generated().items():
            path.write_text(text, encoding="utf-8")
        return 0
    if sys.argv[1:] != ["check"]:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    found = list(problems())
    for problem in found:
        sys.stderr.write(f"{problem}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
