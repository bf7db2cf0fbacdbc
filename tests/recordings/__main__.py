"""`python -m tests.recordings record` records the answers, `play` compares them."""

import sys

import pytest

_USAGE = "usage: python -m tests.recordings record|play"


def main() -> int:
    """Records or plays, and returns pytest's exit code."""
    options = {"record": ["--record"], "play": []}
    if len(sys.argv) != 2 or sys.argv[1] not in options:
        sys.exit(_USAGE)
    return int(pytest.main(["tests/recordings", "-q", *options[sys.argv[1]]]))


if __name__ == "__main__":
    sys.exit(main())
