"""Keeps secrets out of logs."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

REDACTED = "[redacted]"
_SECRET_NAME = re.compile(r"(?:^|_)(?:authorization|api_?key|token|password|secret)$")
_KEY = re.compile(r"cb_([A-Za-z0-9]+)_[A-Za-z0-9_-]{8,}")
_URL_PASSWORD = re.compile(r"(://[^\s:/@]*):[^\s/@]+@")


def redacted(name: str, value: Any) -> Any:
    """Return the value of a log field without secrets: secret fields by name, API keys, passwords in URLs."""
    kind = type(value)
    if kind is int or kind is float or value is None:
        return value
    if _is_secret(name):
        return REDACTED
    if kind is str:
        return _without_secrets(value) if "cb_" in value or "://" in value else value
    return _redacted_inside(name, value)


def _redacted_inside(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: redacted(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(name, inner) for inner in value]
    return _without_secrets(str(value))


def _without_secrets(text: str) -> str:
    """Return the text with secrets replaced. The id of a key stays, because it says whose key it is."""
    return _URL_PASSWORD.sub(rf"\1:{REDACTED}@", _KEY.sub(rf"cb_\1_{REDACTED}", text))


@lru_cache(1024)
def _is_secret(name: str) -> bool:
    return _SECRET_NAME.search(name.lower().replace("-", "_")) is not None
