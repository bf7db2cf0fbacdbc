"""The rules for JSON that callers send as text."""

import orjson

from libs.errors import field_invalid
from libs.jsontext.walk import MAX_DEPTH, is_too_deep, texts


def check_object(text: str, field: str) -> str:
    """Return `text`, or `{}` if it is empty. Raises FIELD_INVALID, which names `field`, if it cannot be stored.

    It must be a JSON object, nested no deeper than `MAX_DEPTH`, without NUL characters and lone surrogates, which
    Postgres cannot store. A key may be given twice: the text is stored and passed on unchanged, so nothing is lost.
    """
    if not text:
        return "{}"
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise field_invalid(field, f"must be JSON: {error.msg} at character {error.pos}") from error
    if not isinstance(value, dict):
        raise field_invalid(field, "must be a JSON object")
    if is_too_deep(value, text.count("{") + text.count("[")):
        raise field_invalid(field, f"must not be nested deeper than {MAX_DEPTH}")
    if "\\u0000" in text and any("\x00" in inner for _, inner in texts(value)):
        raise field_invalid(field, "must not contain NUL characters")
    return text
