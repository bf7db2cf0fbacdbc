"""API keys: `cb_<key id>_<secret>`. Only a hash of the whole is stored: a stolen table opens nothing."""

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field

_KEY_ID_BYTES = 8  # 12 characters of base32 hold 60 of these 64 bits
_KEY_ID_LENGTH = 12
_SECRET_BYTES = 32  # 256 bits: a plain SHA-256 is enough, as there is nothing to guess
_LONGEST_KEY = 256
# the secret's own alphabet has the underscore too, so the id is found by its place, not by splitting
_KEY = re.compile(rf"cb_([a-z2-7]{{{_KEY_ID_LENGTH}}})_[A-Za-z0-9_-]{{43,}}")


@dataclass(frozen=True)
class NewKey:
    """A key that was just made: the text is for its owner alone, the id and the hash are to be stored."""

    key_id: str
    secret_text: str = field(repr=False)
    key_hash: bytes = field(repr=False)


def new_key() -> NewKey:
    """Makes a key from 256 random bits."""
    key_id = base64.b32encode(secrets.token_bytes(_KEY_ID_BYTES)).decode("ascii").lower()[:_KEY_ID_LENGTH]
    text = f"cb_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    return NewKey(key_id, text, hash_key(text))


def parse_key_id(text: str) -> str | None:
    """Returns the id within a key, or None for what cannot be a key of ours."""
    if len(text) > _LONGEST_KEY:
        return None
    match = _KEY.fullmatch(text)
    return match.group(1) if match else None


def hash_key(text: str) -> bytes:
    """Returns what is stored of a key: the SHA-256 of its whole text, 32 bytes."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
