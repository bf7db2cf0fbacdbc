"""Reads the JSON of callers strictly.

Rejects, naming the broken rule: malformed JSON, duplicate keys, NaN and Infinity (also a number too large for a
double), nesting deeper than 64, NUL characters, and lone surrogates. Postgres can store neither of the last two.

JSON that gRPC callers send as text (`libs.jsontext`) may give a key twice, because it is passed on unchanged. Here the
value is read and written again, so the second of two equal keys would silently replace the first.
"""

import json
import re
from math import isfinite
from typing import Any

from libs.errors import FieldViolation, Reason, ServiceError
from libs.jsontext import MAX_DEPTH, is_too_deep, texts

_HIDDEN = re.compile(rb"\\u(?:0000|d[89a-f])", re.IGNORECASE)
"""An escape that may stand for a NUL or a lone surrogate. Unescaped, a NUL is not JSON and a surrogate not UTF-8."""


def read_json(body: bytes) -> Any:
    """Return the value of a body; raises ServiceError JSON_INVALID."""
    try:
        value = _decoder.decode(body.decode())
    except UnicodeDecodeError as error:
        raise _error_of("", f"must be UTF-8; byte {error.start} is not") from None
    except json.JSONDecodeError as error:
        raise _error_of("", f"must be JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:  # the only cause left: an integer with more digits than Python reads
        raise _error_of("", "must not hold an integer of more than 4300 digits") from None
    if is_too_deep(value, body.count(b"{") + body.count(b"[")):
        raise _too_deep()
    if _HIDDEN.search(body):
        for path, text in texts(value):
            _check_text(path, text)
    return value


def read_object(body: bytes) -> dict[str, Any]:
    """Return the object of a body; raises ServiceError JSON_INVALID."""
    value = read_json(body)
    if not isinstance(value, dict):
        rule = "must be a JSON object"
        raise ServiceError(Reason.JSON_INVALID, f"the body {rule}", violations=[FieldViolation("", rule)])
    return value


def write_json(value: Any) -> str:
    """Write a value as compact JSON. Integers of any size keep all of their digits."""
    return _encode(value)


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        unseen = dict.fromkeys(made, True)
        raise _error_of(next(key for key, _ in pairs if not unseen.pop(key, False)), "is given twice")
    return made


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise _error_of("", "must not hold a number that is too large for a double")
    return number


def _reject_constant(text: str) -> Any:
    raise _error_of("", f"must not hold {text}")


def _check_text(path: str, text: str) -> None:
    if "\x00" in text:
        raise _error_of(path, "must not contain NUL characters")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise _error_of(path, "must not contain lone surrogates")


def _too_deep() -> ServiceError:
    return _error_of("", f"must not be nested deeper than {MAX_DEPTH}")


def _error_of(field: str, rule: str) -> ServiceError:
    shown = field.encode(errors="replace").decode().replace("\x00", "?")[:256]
    detail = f"{shown}: {rule}" if shown else f"the body {rule}"
    return ServiceError(Reason.JSON_INVALID, detail, violations=[FieldViolation(shown, rule)])


_decoder = json.JSONDecoder(
    object_pairs_hook=_object_of, parse_float=_finite, parse_constant=_reject_constant, strict=True
)
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
