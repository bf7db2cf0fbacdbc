"""Makes results storable: JSON that Postgres and every client can hold, within a size limit (failures, row 23)."""

import json
import math
from collections.abc import Mapping
from typing import Any

from libs.attempts import AttemptFailedError, FailureCode
from services.runner.executors.failures import failed

MAX_RESULT = 8 * 1024 * 1024
"""Bytes, as UTF-8 JSON."""

MAX_TEXT = 2_000
"""The most characters of a server's text in an error message."""

_REPLACEMENT = "\ufffd"
_INTEGER_LIMIT = 2**63


def json_safe(value: Any) -> Any:
    """Return a copy of a JSON value that any system can store.

    NUL characters and lone surrogates become U+FFFD. NaN and infinities become null. Integers beyond 64 bits become
    strings. Raises `RecursionError` if the value is nested too deeply.
    """
    if isinstance(value, str):
        return _safe_text(value)
    if isinstance(value, Mapping):
        return {_safe_text(str(key)): json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and not -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
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
    """Return the result, JSON-safe. Raises RESULT_TOO_LARGE if it exceeds `limit` bytes, or AGENT_PROTOCOL_ERROR."""
    try:
        safe: dict[str, Any] = json_safe(result)
        size = len(json.dumps(safe, ensure_ascii=False, separators=(",", ":")).encode())
    except RecursionError:
        raise failed(FailureCode.AGENT_PROTOCOL_ERROR, "the agent's result is nested too deeply") from None
    if size > limit:
        raise too_large(limit)
    return safe


def too_large(limit: int = MAX_RESULT) -> AttemptFailedError:
    """Return the error for a result that is larger than `limit` bytes."""
    message = f"the result is larger than {limit} bytes"
    return failed(FailureCode.RESULT_TOO_LARGE, message, limit=limit)


def excerpt(text: str, limit: int = MAX_TEXT) -> str:
    """Return the text, JSON-safe. A text longer than `limit` characters is cut and ends with an ellipsis."""
    return _safe_text(text if len(text) <= limit else text[: limit - 1] + "…")
