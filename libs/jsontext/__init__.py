"""JSON that travels as text: checked once at the door, stored and passed on as it came."""

from libs.jsontext.check import MAX_DEPTH, check_object

__all__ = ["MAX_DEPTH", "check_object"]
