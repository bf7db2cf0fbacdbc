"""Callboard's public package: clients, and the contract's generated code.

    from callboard import Client, SyncClient, CallboardError

The names are imported when they are first used. So services, which use only the contract, do not import the clients.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from callboard.client import Client
    from callboard.failure import CallboardError, FieldViolation
    from callboard.following import StreamedEvent
    from callboard.paging import AsyncPager, Page, SyncPager
    from callboard.sync_client import SyncClient

__all__ = [
    "AsyncPager",
    "CallboardError",
    "Client",
    "FieldViolation",
    "Page",
    "StreamedEvent",
    "SyncClient",
    "SyncPager",
]

if not TYPE_CHECKING:  # type checkers see the imports above, and know that there is nothing else
    _HOMES = {
        "AsyncPager": "callboard.paging",
        "CallboardError": "callboard.failure",
        "Client": "callboard.client",
        "FieldViolation": "callboard.failure",
        "Page": "callboard.paging",
        "StreamedEvent": "callboard.following",
        "SyncClient": "callboard.sync_client",
        "SyncPager": "callboard.paging",
    }

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'callboard' has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)
