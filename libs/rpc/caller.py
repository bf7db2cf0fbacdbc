"""Who makes the call that is being served."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callboard.auth.v1.auth_pb2 import Role

_CALLER: ContextVar["Caller"] = ContextVar("caller")


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller; `principal` is its name in events and logs, `address` may be empty."""

    tenant_id: str
    principal: str
    key_id: str
    role: "Role.ValueType"
    address: str
    request_id: str


def current_caller() -> Caller:
    """Return the caller of the call that is served; LookupError outside of one, and in one without a key."""
    return _CALLER.get()


def set_caller(caller: Caller) -> None:
    """Make this the caller for the rest of the current task: each call is served by a task of its own."""
    _CALLER.set(caller)


@contextmanager
def acting_as(caller: Caller) -> Iterator[None]:
    """Make this the caller inside the block: for tests, and for work that is done on someone's behalf."""
    token = _CALLER.set(caller)
    try:
        yield
    finally:
        _CALLER.reset(token)
