"""Reads what a caller asks for, and holds it against the operation's models."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError

from libs.errors import FieldViolation, Reason, ServiceError, field_invalid
from services.gateway.edge.exchange import Exchange
from services.gateway.models.shape import COMMAND_ID_PATTERN, ID_PATTERN, Empty, Query, list_parameters
from services.gateway.routes.operation import Asked, Operation
from services.gateway.translation.strict_json import read_json

_JSON_TYPE = re.compile(rb"application/(?:[a-z0-9.-]+\+)?json *(?:; *charset=\"?utf-8\"? *)?", re.IGNORECASE)
_ETAG = re.compile(rb'"([!#-~]{1,128})"')
_PATH_RULES = {
    "agentId": re.compile(ID_PATTERN),
    "sessionId": re.compile(ID_PATTERN),
    "commandId": re.compile(COMMAND_ID_PATTERN),
}
_MOST_PARAMETERS = 200
_MOST_VIOLATIONS = 100


def read_asked(operation: Operation, path: Mapping[str, str], exchange: Exchange, body: bytes) -> Asked:
    """Return what is asked for; raises ServiceError, the media type's first."""
    check_path(path)
    model = operation.body or (Empty if operation.changes else None)
    if model is not None and body:
        _check_media_type(exchange.headers)
    return Asked(
        path=path,
        query=read_query(operation.query, exchange.query),
        body=_read_body(model, body, required=operation.body is not None and operation.body_required),
        request_id=_read_key(exchange) if operation.changes else "",
        etag=_read_etag(exchange.headers) if operation.conditional else "",
        last_event_id=exchange.headers.get(b"last-event-id", b"").decode("latin-1"),
    )


def check_path(path: Mapping[str, str]) -> None:
    """Refuse ids that cannot exist."""
    for name, value in path.items():
        if not _PATH_RULES[name].fullmatch(value):
            raise field_invalid(name, f"must match {_PATH_RULES[name].pattern}")


def read_query(model: type[Query], text: bytes) -> Any:
    """Read a query string; a parameter that takes many values may be repeated, and may list them with commas."""
    try:
        pairs = parse_qsl(
            text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS
        )
    except ValueError:  # not ASCII, not UTF-8 once decoded, or too many
        rule = f"the query must be at most {_MOST_PARAMETERS} names and values, percent-encoded UTF-8"
        raise ServiceError(Reason.FIELD_INVALID, rule) from None
    lists = list_parameters(model)
    values: dict[str, Any] = {}
    for name, value in pairs:
        if "\x00" in value:
            raise field_invalid(_shown(name), "must not contain NUL characters")
        if name in lists:
            values.setdefault(name, []).extend(value.split(",") if lists[name] else [value])
        elif name in values:
            raise field_invalid(_shown(name), "must be given once")
        else:
            values[name] = value
    return _validated(model, values)


def wants_stream(operation: Operation, headers: Mapping[bytes, bytes], query: bytes) -> bool:
    """Whether the caller asks to follow, where an operation can do something else too.

    Who takes anything (`curl` at a terminal) follows, and gets a page by asking for JSON or naming a page's size or
    token.
    """
    if operation.follow is None:
        return False
    accept = headers.get(b"accept", b"").lower()
    if operation.request is None or b"text/event-stream" in accept:
        return True
    return accept.strip() in (b"", b"*/*") and b"pageSize=" not in query and b"pageToken=" not in query


def _read_body(model: type[BaseModel] | None, body: bytes, *, required: bool) -> Any:
    if model is None:
        return None
    if not body:
        if required:
            raise ServiceError(Reason.JSON_INVALID, "the body must be a JSON object, and there is none")
        return model.model_validate({})
    value = read_json(body)
    if not isinstance(value, dict):
        raise ServiceError(
            Reason.JSON_INVALID, "the body must be a JSON object",
            violations=[FieldViolation("", "must be a JSON object")],
        )  # fmt: skip
    return _validated(model, value)


def _validated(model: type[BaseModel], value: dict[str, Any]) -> Any:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _error_of(error) from None


def _error_of(error: ValidationError) -> ServiceError:
    found = [
        FieldViolation(_field(fault["loc"]), _rule(fault["type"], fault["msg"]))
        for fault in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    first, more = found[0], len(found) - 1
    text = f"{first.field}: {first.rule}" if first.field else first.rule
    if more:
        text += f" (and {more} more)"
    return ServiceError(Reason.FIELD_INVALID, text, violations=found[:_MOST_VIOLATIONS])


def _field(steps: tuple[int | str, ...]) -> str:
    path = ""
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step != "[key]":
            path += f".{_shown(step)}" if path else _shown(step)
    return path


def _rule(kind: str, message: str) -> str:
    match kind:
        case "extra_forbidden":
            return "is not a field of this request"
        case "missing":
            return "is required"
        case _:
            return message.removeprefix("Value error, ")


def _shown(name: str) -> str:
    return name.encode(errors="replace").decode()[:128]


def _check_media_type(headers: Mapping[bytes, bytes]) -> None:
    given = headers.get(b"content-type")
    if given is None or not _JSON_TYPE.fullmatch(given.strip()):
        raise ServiceError(Reason.MEDIA_TYPE_UNSUPPORTED, "the body must be of the type application/json")


def _read_key(exchange: Exchange) -> str:
    key = exchange.echo_idempotency_key()
    if key is None:
        raise field_invalid("Idempotency-Key", "must be 1 to 128 characters from ! to ~")
    return key


def _read_etag(headers: Mapping[bytes, bytes]) -> str:
    given = headers.get(b"if-match", b"").strip()
    if given in (b"", b"*"):
        return ""
    match = _ETAG.fullmatch(given)
    if match is None:
        raise field_invalid("If-Match", "must be one etag in double quotes, or *")
    return match.group(1).decode()
