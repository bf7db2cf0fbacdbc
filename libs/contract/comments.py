"""The contract's comments, as descriptions in REST's words."""

import re

from callboard import descriptors
from libs.contract.values import camel

_LEFT_OUT = re.compile(r"\b(0|absent|empty|unspecified) means\b", re.IGNORECASE)
_JSON_TEXT = re.compile(r"\bthe text of a JSON\b")
_NAME = re.compile(r"`([a-z]+(?:_[a-z]+)+)`")


def description(full_name: str) -> str:
    """Return the description of an element. What the contract calls 0, absent or empty, JSON leaves out; names are
    written in camelCase."""
    text = descriptors.comments().get(full_name, "")
    text = _LEFT_OUT.sub(lambda found: "Not given means" if found[1][0].isupper() else "not given means", text)
    text = _JSON_TEXT.sub("a JSON", text)
    return _NAME.sub(
        lambda found: f"`{camel(found[1].removesuffix('_json'))}`" if _is_field(found[1]) else found[0], text
    )


def _is_field(name: str) -> bool:
    return any(known.endswith(f".{name}") for known in descriptors.comments())
