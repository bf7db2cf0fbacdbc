"""Opaque page tokens. A token holds a keyset: the values that mark a position in one list with its filters."""

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID
from zlib import crc32

import orjson

from libs.errors import Reason, ServiceError


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise ValueError("not a sequence number")
    return int(text)


_PARSERS: dict[str, Callable[[str], object]] = {
    "at": datetime.fromisoformat,
    "id": UUID,
    "seq": _number,
    "uid": UUID,
    "until": datetime.fromisoformat,
}


def write_page_token(scope: str, keyset: Mapping[str, Any]) -> str:
    """Return the token of the page after `keyset`. `scope` names the list and its filters."""
    body = orjson.dumps([crc32(scope.encode()), dict(keyset)])
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def read_page_token(scope: str, token: str, *, keys: frozenset[str]) -> dict[str, Any] | None:
    """Return the keyset of a token, or None if the token is empty.

    Raises PAGE_TOKEN_INVALID if the token was not made for this list. `keys` are the names that its keysets have.
    """
    if not token:
        return None
    try:
        body = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        check, keyset = orjson.loads(body)
    except (ValueError, TypeError, binascii.Error) as error:
        raise ServiceError(Reason.PAGE_TOKEN_INVALID, "page_token was not made by Callboard") from error
    if check != crc32(scope.encode()):
        raise ServiceError(Reason.PAGE_TOKEN_INVALID, "page_token is of another list or of other filters")
    if not _is_keyset(keyset, keys):
        raise ServiceError(Reason.PAGE_TOKEN_INVALID, "page_token was not made by Callboard")
    return dict(keyset)


def _is_keyset(value: object, keys: frozenset[str]) -> bool:
    """Check that the list could have written this keyset, because callers can forge tokens."""
    if not isinstance(value, dict) or value.keys() != keys or not all(isinstance(v, str) for v in value.values()):
        return False
    try:
        return all(_PARSERS.get(name, str)(text) is not None for name, text in value.items())
    except ValueError:
        return False
