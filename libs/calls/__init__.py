"""What lists and mutating calls share: the actor, idempotency keys, and page tokens."""

from libs.calls.fingerprint import fingerprint
from libs.calls.identity import Actor, IdempotencyKey
from libs.calls.page_token import read_page_token, write_page_token

__all__ = ["Actor", "IdempotencyKey", "fingerprint", "read_page_token", "write_page_token"]
