"""Pages of lists. A page is read after a keyset, which its token holds."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import orjson

from libs.calls.page_token import read_page_token, write_page_token

Item = TypeVar("Item")
DEFAULT_PAGE_SIZE = 50
"""How many items a page has when the caller gives no size."""


class PageRequest(Protocol):
    """The fields that every request for a page has."""

    page_size: int
    page_token: str


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """The items of a page, and the token of the next one, empty on the last."""

    items: list[Item]
    next_token: str


def list_scope(name: str, filters: Mapping[str, Any]) -> str:
    """Return the text that names a list and the filters that are given. A token is of one scope.

    None and empty values are not given, so a filter that is added later breaks no token that was made without it.
    """
    given = {field: value for field, value in filters.items() if value or value is False}
    return f"{name} {orjson.dumps(given, option=orjson.OPT_SORT_KEYS).decode()}"


async def read_page(
    scope: str,
    request: PageRequest,
    keyset: Mapping[str, Callable[[Item], Any]],
    find: Callable[[Mapping[str, Any] | None, int], Awaitable[list[Item]]],
) -> Page[Item]:
    """Return the page that a request asks for. Raises PAGE_TOKEN_INVALID if its token is not of this scope.

    `keyset` reads the values that mark an item's position in the list. `find` returns up to a number of items after a
    keyset, or from the beginning. It is asked for one more than the page has, which says whether there is a next one.
    """
    size = request.page_size or DEFAULT_PAGE_SIZE
    after = read_page_token(scope, request.page_token, keys=frozenset(keyset))
    found = await find(after, size + 1)
    if len(found) <= size:
        return Page(found, "")
    last = found[size - 1]
    return Page(found[:size], write_page_token(scope, {name: read(last) for name, read in keyset.items()}))
