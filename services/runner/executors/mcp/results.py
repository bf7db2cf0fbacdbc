"""Results made fit for storage: JSON that Postgres and every client can hold, and not too much (failures, row 23)."""

import json
import math
from collections.abc import Mapping
from typing import Any

from libs.attempts import AttemptFailedError, FailureCode
from services.runner.executors.failures import failed

MAX_RESULT = 8 * 1024 * 1024
"""Bytes, as UTF-8 JSON."""

MAX_TEXT = 2_000
"""Characters of a server's text that go into an error message."""

_REPLACEMENT = "\ufffd"
_LARGEST_INTEGER = 2**63


def json_safe(value: Any) -> Any:
    """Copy a JSON value so that anything can store it.

    NUL characters and lone surrogates become U+FFFD, numbers that JSON lacks (NaN, infinities) null, and
    integers beyond 64 bits strings, which keep their digits. Raises `RecursionError` if nested too deep.
    """
    if isinstance(value, str):
        return _safe_text(value)
    if isinstance(value, Mapping):
        return {_safe_text(str(key)): json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and not -_LARGEST_INTEGER <= value < _LARGEST_INTEGER:
        return str(value)
    return value


def _safe_text(text: str) -> str:
    if "\x00" in text:
        text = text.replace("\x00", _REPLACEMENT)
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join(_REPLACEMENT if "\ud800" <= char <= "\udfff" else char for char in text)
    return text


def storable(result: Mapping[str, Any], limit: int = MAX_RESULT) -> dict[str, Any]:
    """Return the result, safe and within `limit` bytes; raises RESULT_TOO_LARGE or AGENT_PROTOCOL_ERROR."""
    try:
        safe: dict[str, Any] = json_safe(result)
        size = len(json.dumps(safe, ensure_ascii=False, separators=(",", ":")).encode())
    except RecursionError:
        raise failed(FailureCode.AGENT_PROTOCOL_ERROR, "the agent's result is nested too deep") from None
    if size > limit:
        raise too_large(limit)
    return safe


def too_large(limit: int = MAX_RESULT) -> AttemptFailedError:
    """The result is larger than `limit` bytes."""
    message = f"the result is larger than {limit} bytes"
    return failed(FailureCode.RESULT_TOO_LARGE, message, limit=limit)


def excerpt(text: str, limit: int = MAX_TEXT) -> str:
    """Return the text, safe, and cut with a mark when it is longer than `limit` characters."""
    return _safe_text(text if len(text) <= limit else text[: limit - 1] + "…")
