"""What all calls and lists share: the actor, and pages with their tokens."""

from libs.calls.identity import Actor
from libs.calls.page_token import read_page_token, write_page_token
from libs.calls.pages import DEFAULT_PAGE_SIZE, Page, list_scope, read_page

__all__ = [
    "DEFAULT_PAGE_SIZE",
    "Actor",
    "Page",
    "list_scope",
    "read_page",
    "read_page_token",
    "write_page_token",
]
