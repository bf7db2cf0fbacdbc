"""JSON as text: checked once on arrival, then stored and passed on unchanged."""

from libs.jsontext.check import MAX_DEPTH, check_object

__all__ = ["MAX_DEPTH", "check_object"]
