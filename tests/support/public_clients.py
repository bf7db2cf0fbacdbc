"""The two public clients behind one interface, so that one test covers both."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

from callboard import Client, SyncClient, SyncPager

KINDS = ("async", "sync")
_Item = TypeVar("_Item")
_END = object()


@asynccontextmanager
async def public_client(kind: str, api_key: str, address: str, **options: Any) -> AsyncIterator[Client]:
    """A client of one address. The synchronous one runs in threads, behind an asynchronous interface."""
    addresses = {"session_address": address, "command_address": address, **options}
    if kind == "async":
        async with Client(api_key, **addresses) as client:
            yield client
    else:
        with SyncClient(api_key, **addresses) as sync_client:
            yield cast(Client, _Threaded(sync_client))


class _Threaded:
    """An object whose methods run in a thread and are awaited."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return _Threaded(found)

        def call(*arguments: Any, **options: Any) -> Any:
            if name == "follow" or name in {"list", "pages"}:
                return _wrapped(found(*arguments, **options))
            return asyncio.to_thread(found, *arguments, **options)

        return call


def _wrapped(result: Any) -> Any:
    return _ThreadedPager(result) if isinstance(result, SyncPager) else _items(result)


class _ThreadedPager(_Threaded):
    """A pager whose pages are fetched in a thread."""

    def __aiter__(self) -> AsyncIterator[Any]:
        return _items(iter(self._target))


async def _items(iterator: Iterator[_Item]) -> AsyncIterator[_Item]:
    """Iterates in threads, and closes the iterator when its reader leaves."""
    try:
        while (item := await asyncio.to_thread(next, iterator, _END)) is not _END:
            yield cast(_Item, item)
    finally:
        if inspect.isgenerator(iterator):
            await asyncio.to_thread(iterator.close)
