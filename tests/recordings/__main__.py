"""`python -m tests.recordings record` records the answers, `play` compares them.

Both take the names of areas, such as `sessions` or `rest/sessions`, and without one take all areas.
"""

import sys

import pytest

from tests.recordings.script import areas, chosen

_USAGE = "usage: python -m tests.recordings record|play [area ...]"


def main() -> int:
    """Records or plays, and returns pytest's exit code."""
    options = {"record": ["--record"], "play": []}
    names = sys.argv[2:]
    if len(sys.argv) < 2 or sys.argv[1] not in options:
        sys.exit(_USAGE)
    if unknown := [name for name in names if not chosen([name])]:
        sys.exit(f"{_USAGE}\nthere is no area {unknown[0]}; the areas are {', '.join(areas())}")
    return int(pytest.main(["tests/recordings", "-q", *options[sys.argv[1]], *(f"--area={name}" for name in names)]))


if __name__ == "__main__":
    sys.exit(main())
