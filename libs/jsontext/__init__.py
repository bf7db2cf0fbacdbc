"""JSON as text: checked once on arrival, then stored and passed on unchanged."""

from libs.jsontext.check import check_object
from libs.jsontext.walk import MAX_DEPTH, is_too_deep, texts

__all__ = ["MAX_DEPTH", "check_object", "is_too_deep", "texts"]
