"""Reads the values of options: durations, and text that can also come from a file."""

import os
import re
import sys
from datetime import timedelta
from pathlib import Path

from services.cli.errors import UsageError

DURATION = re.compile(r"(\d{1,9})(ms|s|m|h|d)", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def read_duration(option: str, text: str) -> timedelta:
    """Parse a duration such as `90s`, `15m`, `2h` or `7d`; raises UsageError."""
    match = DURATION.fullmatch(text)
    try:
        if match:
            return timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    except OverflowError:
        pass
    raise UsageError(f"{option}: {text!r} is not a duration; use 30s, 15m, 2h or 7d")


def read_bytes(option: str, text: str) -> bytes:
    """Return the given text, the content of the file for `@path`, or standard input for `-`; raises UsageError."""
    if text == "-":
        return sys.stdin.buffer.read()
    if not text.startswith("@"):
        return os.fsencode(text)
    try:
        return Path(text[1:]).read_bytes()
    except (OSError, ValueError) as error:
        raise UsageError(f"{option}: cannot read {text[1:]}: {error}") from error
