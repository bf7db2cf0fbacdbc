"""API keys: `cb_<key id>_<secret>`. Only a hash is stored, so a stolen table authenticates nobody."""

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field

_KEY_ID_BYTES = 8  # 12 characters of base32 hold 60 of these 64 bits
_KEY_ID_LENGTH = 12
_SECRET_BYTES = 32  # 256 random bits cannot be guessed, so a plain SHA-256 is enough
_LONGEST_KEY = 256
# a secret can contain underscores, so the id is found by its position
_KEY = re.compile(rf"cb_([a-z2-7]{{{_KEY_ID_LENGTH}}})_[A-Za-z0-9_-]{{43,}}")


@dataclass(frozen=True)
class NewKey:
    """A new key. Give the text to its owner only; store the id and the hash."""

    key_id: str
    secret_text: str = field(repr=False)
    key_hash: bytes = field(repr=False)


def new_key() -> NewKey:
    """Create a key from 256 random bits."""
    key_id = base64.b32encode(secrets.token_bytes(_KEY_ID_BYTES)).decode("ascii").lower()[:_KEY_ID_LENGTH]
    text = f"cb_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    return NewKey(key_id, text, hash_key(text))


def parse_key_id(text: str) -> str | None:
    """Return the id in a key, or None if the text is not one of our keys."""
    if len(text) > _LONGEST_KEY:
        return None
    match = _KEY.fullmatch(text)
    return match.group(1) if match else None


def hash_key(text: str) -> bytes:
    """Return what is stored of a key: the SHA-256 of its whole text, 32 bytes."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
