"""Whole responses, as the gateway sends them."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette import responses

JSON = "application/json"


class Response(responses.Response):
    """A whole response; `reason` is there when it is an error, for the log."""

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
    """Write a JSON value as a response."""
    return Response(status, orjson.dumps(value), headers, JSON)
