"""Makes text from others safe for a terminal."""

import re

_LONGEST = 200
_STEERING = re.compile(r"[\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What steers some terminals, and may stand in a JSON text as it is."""


def plain(text: str, longest: int | None = _LONGEST) -> str:
    """Return text on one line, without control characters, cut to a length."""
    shown = "".join(one if one.isprintable() else " " if one.isspace() else "\N{REPLACEMENT CHARACTER}" for one in text)
    return shown if longest is None or len(shown) <= longest else shown[: longest - 1] + "…"


def plain_lines(text: str) -> str:
    """Return text of several lines, without control characters in them."""
    return "\n".join(plain(line, longest=None) for line in text.split("\n"))


def escaped_json(text: str) -> str:
    """Return the same JSON with control characters escaped."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
