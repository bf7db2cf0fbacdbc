"""Iterates lists that arrive in pages, by item or by page."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[_Item]):
    """A page of a list: its items, and the token of the next page, which is empty on the last one."""

    items: list[_Item]
    next_page_token: str


class AsyncPager(Generic[_Item]):
    """A list whose pages are fetched on demand.

    `async for item in pager` iterates over all items, `async for page in pager.pages()` over the pages, and
    `await pager.page()` fetches the first page alone. Each use starts at the first page.
    """

    def __init__(self, fetch: Callable[[str], Awaitable[Page[_Item]]], first_token: str) -> None:
        self._fetch = fetch
        self._first_token = first_token

    async def __aiter__(self) -> AsyncIterator[_Item]:
        async for page in self.pages():
            for item in page.items:
                yield item

    async def pages(self) -> AsyncIterator[Page[_Item]]:
        """Iterate over the pages."""
        page = await self.page()
        yield page
        while page.next_page_token:
            page = await self._fetch(page.next_page_token)
            yield page

    async def page(self) -> Page[_Item]:
        """Fetch the first page."""
        return await self._fetch(self._first_token)


class SyncPager(Generic[_Item]):
    """A list whose pages are fetched on demand.

    `for item in pager` iterates over all items, `for page in pager.pages()` over the pages, and `pager.page()`
    fetches the first page alone. Each use starts at the first page.
    """

    def __init__(self, fetch: Callable[[str], Page[_Item]], first_token: str) -> None:
        self._fetch = fetch
        self._first_token = first_token

    def __iter__(self) -> Iterator[_Item]:
        for page in self.pages():
            yield from page.items

    def pages(self) -> Iterator[Page[_Item]]:
        """Iterate over the pages."""
        page = self.page()
        yield page
        while page.next_page_token:
            page = self._fetch(page.next_page_token)
            yield page

    def page(self) -> Page[_Item]:
        """Fetch the first page."""
        return self._fetch(self._first_token)
