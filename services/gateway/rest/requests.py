"""Parses the parts of an HTTP request strictly."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from libs.contract.violations import shown
from libs.errors import Reason, ServiceError, field_invalid

_JSON_TYPE = re.compile(rb"application/(?:[a-z0-9.-]+\+)?json *(?:; *charset=\"?utf-8\"? *)?", re.IGNORECASE)
_ETAG = re.compile(rb'"([!#-~]{1,128})"')
_MOST_PARAMETERS = 200


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A complete request: the parameters of its path, and its unparsed query, body and headers."""

    path: Mapping[str, str]
    query: bytes
    body: bytes
    headers: Mapping[bytes, bytes]
    idempotency_key: str | None

    @property
    def last_event_id(self) -> str:
        """The Last-Event-ID, empty when it is not given."""
        return self.headers.get(b"last-event-id", b"").decode("latin-1")


def read_query(text: bytes, lists: Mapping[str, bool]) -> dict[str, Any]:
    """Return the parameters of a query by name. Raises ServiceError.

    A name in `lists` may be repeated. If its value there is true, a comma also separates values. Other names may be
    given once.
    """
    if not text:
        return {}
    try:
        pairs = parse_qsl(
            text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS
        )
    except ValueError:  # not ASCII, not UTF-8 once decoded, or too many
        rule = f"the query must be at most {_MOST_PARAMETERS} names and values, percent-encoded UTF-8"
        raise ServiceError(Reason.FIELD_INVALID, rule) from None
    values: dict[str, Any] = {}
    for name, value in pairs:
        if "\x00" in value:
            raise field_invalid(shown(name), "must not contain NUL characters")
        if name in lists:
            values.setdefault(name, []).extend(value.split(",") if lists[name] else [value])
        elif name in values:
            raise field_invalid(shown(name), "must be given once")
        else:
            values[name] = value
    return values


def check_media_type(headers: Mapping[bytes, bytes]) -> None:
    """Reject a body whose media type is not JSON."""
    given = headers.get(b"content-type")
    if given is None or not _JSON_TYPE.fullmatch(given.strip()):
        raise ServiceError(Reason.MEDIA_TYPE_UNSUPPORTED, "the media type of the body must be application/json")


def read_key(request: ParsedRequest) -> str:
    """Return the Idempotency-Key, empty when there is none. Raises ServiceError."""
    if request.idempotency_key is None:
        raise field_invalid("Idempotency-Key", "must be 1 to 128 characters from ! to ~")
    return request.idempotency_key


def read_etag(headers: Mapping[bytes, bytes]) -> str:
    """Return the etag in If-Match, empty when any matches. Raises ServiceError."""
    given = headers.get(b"if-match", b"").strip()
    if given in (b"", b"*"):
        return ""
    match = _ETAG.fullmatch(given)
    if match is None:
        raise field_invalid("If-Match", "must be one etag in double quotes, or *")
    return match.group(1).decode()
