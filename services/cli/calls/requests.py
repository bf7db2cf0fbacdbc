"""Reads the request of `callboard call` from JSON."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message

from libs.contract import Method
from libs.contract.operations import key_path
from libs.contract.strict_json import read_object
from libs.errors import ServiceError
from services.cli.calls.methods import short_name
from services.cli.connection import text_of
from services.cli.errors import UsageError

_KEY = "requestId"


def read_request(method: Method, given: bytes, request_id: str) -> Message:
    """Return the request in a JSON object, with the idempotency key if one is given; raises UsageError."""
    try:
        fields = read_object(given)
        if request_id:
            fields = _with_key(method, fields, request_id)
        return method.read(fields)
    except ServiceError as error:
        raise UsageError(text_of(error)) from None


def _with_key(method: Method, fields: Mapping[str, Any], request_id: str) -> dict[str, Any]:
    if not key_path(method.descriptor.input_type, method.limits.body):
        raise UsageError(f"--request-id: {short_name(method)} takes no idempotency key")
    if fields.get(_KEY, request_id) != request_id:
        raise UsageError(f"--request-id: the request has another {_KEY}")
    return {**fields, _KEY: request_id}
