"""Reads the idempotency key of a request, and hashes the request."""

from hashlib import sha256
from typing import TypeVar

from google.protobuf.message import Message

from libs.idempotency.model import IdempotencyKey

_Message = TypeVar("_Message", bound=Message)


def key_of(method: str, request: Message) -> IdempotencyKey | None:
    """Return the caller's key for a method, None when the request has an empty `request_id`."""
    key: str = getattr(request, "request_id")  # noqa: B009 - the messages share the field and no type
    return IdempotencyKey(method, key, fingerprint(request)) if key else None


def fingerprint(request: _Message) -> bytes:
    """Return the SHA-256 of a request without its `request_id`, stable within a version of the contract."""
    bare = type(request)()
    bare.CopyFrom(request)
    bare.ClearField("request_id")
    return sha256(bare.SerializeToString(deterministic=True)).digest()
