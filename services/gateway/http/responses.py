"""Whole HTTP responses."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette import responses

JSON = "application/json"


class Response(responses.Response):
    """A whole response. `reason` is the reason of an error, for the log."""

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(body, status, headers, media_type)
        self.reason = reason


def json_response(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response with a JSON value."""
    return Response(status, orjson.dumps(value), headers, JSON)
