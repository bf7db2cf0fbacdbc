"""Opaque page tokens: a place in a list, bound to the list that it was made for."""

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
        raise ValueError("not a number that the list counts with")
    return int(text)


_READS: dict[str, Callable[[str], object]] = {
    "at": datetime.fromisoformat,
    "id": UUID,
    "seq": _number,
    "uid": UUID,
    "until": datetime.fromisoformat,
}


def write_page_token(scope: str, place: Mapping[str, Any]) -> str:
    """Write the token of the page after `place`; `scope` names the list and its filters."""
    body = orjson.dumps([crc32(scope.encode()), dict(place)])
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def read_page_token(scope: str, token: str, *, keys: frozenset[str]) -> dict[str, Any] | None:
    """Read a token of this list, None when it is empty; refuses every other one with PAGE_TOKEN_INVALID."""
    if not token:
        return None
    try:
        body = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        check, place = orjson.loads(body)
    except (ValueError, TypeError, binascii.Error) as error:
        raise ServiceError(Reason.PAGE_TOKEN_INVALID, "page_token was not made by Callboard") from error
    if check != crc32(scope.encode()):
        raise ServiceError(Reason.PAGE_TOKEN_INVALID, "page_token is of another list or of other filters")
    if not _is_place(place, keys):
        raise ServiceError(Reason.PAGE_TOKEN_INVALID, "page_token was not made by Callboard")
    return dict(place)


def _is_place(place: object, keys: frozenset[str]) -> bool:
    """Whether a place is one that the list could have written: a token is in its caller's hands."""
    if not isinstance(place, dict) or place.keys() != keys or not all(isinstance(v, str) for v in place.values()):
        return False
    try:
        return all(_READS.get(name, str)(value) is not None for name, value in place.items())
    except ValueError:
        return False
