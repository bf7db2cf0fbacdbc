"""Turns the contract's comments into descriptions of JSON."""

import re
from functools import cache

from callboard import descriptors
from libs.contract.fields import Field
from libs.contract.slots import KEY_FIELD
from libs.contract.values import camel

_DEFAULT = re.compile(r"\b(0|absent|empty|unspecified) means\b", re.IGNORECASE)
_DEFAULT_CLAUSE = re.compile(r"; (?:0|absent|empty|unspecified) means [^.;]*")
_EMPTY = re.compile(r"\bempty (?=when|while|on)")
_JSON_TEXT = re.compile(r"\bthe text of a JSON\b")
_NAME = re.compile(r"`([a-z]+(?:_[a-z]+)+)`")


def description(full_name: str) -> str:
    """Return the description of an element, with names in camelCase."""
    text = _JSON_TEXT.sub("a JSON", descriptors.comments().get(full_name, ""))
    return _NAME.sub(lambda found: f"`{_json_name(found[1])}`", text)


def description_of_answer(field: Field) -> str:
    """Return the description of a field in a response: without the default, and with null in place of empty."""
    text = field.option.description or description(field.descriptor.full_name)
    return _EMPTY.sub("null ", _DEFAULT_CLAUSE.sub("", text))


def description_of_input(field: Field) -> str:
    """Return the description of a field in a request: with "not given" in place of 0, absent or empty."""
    text = field.option.description or description(field.descriptor.full_name)
    text = text.replace("when empty", "when not given")
    return _DEFAULT.sub(lambda found: "Not given means" if found[1][0].isupper() else "not given means", text)


def _json_name(name: str) -> str:
    if name == KEY_FIELD:
        return "Idempotency-Key"
    return camel(name.removesuffix("_json")) if name in _field_names() else name


@cache
def _field_names() -> frozenset[str]:
    return frozenset(name.rpartition(".")[2] for name in descriptors.comments())
