"""The fingerprint of a request. Two requests with equal fingerprints are the same request."""

from hashlib import sha256
from typing import TypeVar

from google.protobuf.message import Message

_Message = TypeVar("_Message", bound=Message)


def fingerprint(request: _Message) -> bytes:
    """Return the SHA-256 of a request without its `request_id`. It is stable within a version of the contract."""
    bare = type(request)()
    bare.CopyFrom(request)
    bare.ClearField("request_id")
    return sha256(bare.SerializeToString(deterministic=True)).digest()
