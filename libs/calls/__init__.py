"""Values that all calls and lists share: the actor, and page tokens."""

from libs.calls.identity import Actor
from libs.calls.page_token import read_page_token, write_page_token

__all__ = ["Actor", "read_page_token", "write_page_token"]
